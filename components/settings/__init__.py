"""This package says what a stack may say; all of it is checked before the first resource.

Every problem is named at once.
"""

from .config import plain_secrets, read
from .names import ALONE, place_of
from .server import Server
from .stack import ConfigurationError, Phase, Settings, is_secret, parse
from .stores import AnyStore, AwsStore, B2Store, ExistingStore, customer_key_of

__all__ = [
    "ALONE", "AnyStore", "AwsStore", "B2Store", "ConfigurationError", "ExistingStore", "Phase", "Server", "Settings",
    "customer_key_of", "is_secret", "parse", "place_of", "plain_secrets", "read",
]  # fmt: skip
