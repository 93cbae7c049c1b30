"""This module makes a key with which the store encrypts every object (SSE-C), and sets it as a secret of the stack."""

from __future__ import annotations

import base64
import secrets

from .workspace import OperationError, pulumi

SETTING = "store.sseCustomerKey"


def make(stack: str) -> list[str]:
    """Set a new key and return what to tell; the key itself goes by standard input and is never shown.

    Raises OperationError, also where the stack has a key: what that one encrypted needs it.
    """
    if _is_set(stack):
        raise OperationError(
            f"the stack {stack} has {SETTING} already, and what it encrypted needs it -- to change it, go back to "
            f"prepare first, keep a copy, and take it out: pulumi config rm --path {SETTING} --stack {stack}"
        )
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    pulumi("config", "set", "--secret", "--path", SETTING, "--stack", stack, value=key)
    return [
        f"{SETTING} is set. Without it nothing in the bucket can be read: keep a copy elsewhere,",
        f"pulumi config get --path {SETTING} --stack {stack}",
    ]


def _is_set(stack: str) -> bool:
    """Return whether the stack has a key. Raises OperationError for a stack that cannot be asked: it may have one."""
    try:
        pulumi("config", "get", "--path", SETTING, "--stack", stack)
    except OperationError as error:
        if "not found for stack" in str(error):
            return False
        raise
    return True
