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
    if _get(stack, "store.kind") == "b2":
        raise OperationError(f"a store of kind b2 takes no {SETTING} -- leave it out, or use kind aws or existing")
    if _get(stack, SETTING):
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


def _get(stack: str, setting: str) -> str:
    """Return a setting of the stack, or an empty text where it has none.

    Raises OperationError for a stack that cannot be asked: it may have one.
    """
    try:
        return pulumi("config", "get", "--path", setting, "--stack", stack).strip()
    except OperationError as error:
        if "not found for stack" in str(error):
            return ""
        raise
