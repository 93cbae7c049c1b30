"""This module has the settings of the way to the server: its address, both sides' keys, and a jump host."""

from __future__ import annotations

import base64
import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr, ValidationInfo

from .fields import Section, must, setting, wrong


def _is_host_key(value: str) -> bool:
    """Return whether a text is a public host key, and not one of type ssh-rsa.

    The command provider takes that type as RSA with SHA-1, which servers refuse.
    """
    return _is_public_key(value) and not value.startswith("ssh-rsa ")


def _is_public_key(value: str) -> bool:
    parts = value.split()
    if len(parts) < 2 or not re.fullmatch(r"(ssh|ecdsa)-[a-z0-9-]+", parts[0]):
        return False
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except ValueError:
        return False
    return parts[0].encode() in blob[:64]


def _cipher(key: str) -> str:
    """Return what protects an SSH private key with a password, or `none`."""
    if "ENCRYPTED" in key:
        return "PKCS8" if "BEGIN ENCRYPTED" in key else "PEM"
    body = "".join(line.strip() for line in key.splitlines() if "-----" not in line)
    try:
        blob = base64.b64decode(body, validate=True)
    except ValueError:
        return "none"
    magic, _, rest = blob.partition(b"openssh-key-v1\0")
    if magic or not rest:
        return "none"
    return rest[4 : 4 + int.from_bytes(rest[:4], "big")].decode(errors="replace")


#: What the command provider can open.
_CIPHERS = ("PEM", "aes256-ctr", "aes256-cbc")


def is_protected(key: str) -> bool:
    """Return whether an SSH private key opens with a password only."""
    return _cipher(key) != "none"


def _private_key(value: SecretStr, info: ValidationInfo) -> SecretStr:
    key = value.get_secret_value()
    if not key and not info.data.get("use_agent"):
        raise wrong("is missing")
    if key and "PRIVATE KEY-----" not in key:
        raise wrong("is not an SSH private key")
    return value


def _private_key_password(value: SecretStr, info: ValidationInfo) -> SecretStr:
    if "private_key" not in info.data:
        return value  # the key's own mistake is told
    cipher = _cipher(info.data["private_key"].get_secret_value())
    protected = is_protected(info.data["private_key"].get_secret_value())
    if protected and cipher not in _CIPHERS:
        raise wrong(f"opens server.privateKey, which is protected with {cipher}: that cannot be read here")
    if protected and not value.get_secret_value():
        raise wrong("is missing, and server.privateKey is protected with one")
    if value.get_secret_value() and not protected:
        raise wrong("is set, and server.privateKey is not protected with one")
    return value


def _jump_host_key(value: str, info: ValidationInfo) -> str:
    if info.data.get("jump_host") and not value:
        raise wrong("is missing, and server.jumpHost is set")
    if value and not _is_host_key(value):
        raise wrong("is not a public host key")
    return value


#: Hosts and users stand in ssh's configuration, which has no way to quote everything.
_Host = Annotated[str, must(lambda v: bool(re.fullmatch(r"[\w.:%-]*", v)), "is not a name or address")]
_User = Annotated[str, must(lambda v: bool(re.fullmatch(r"[\w.@+-]*", v)), "is not a user's name")]


def _public_key(value: str) -> str:
    """Return type and key alone: a comment may hold what an authorized_keys file would take for another line."""
    if not _is_public_key(value):
        raise wrong("is not a public SSH key")
    return " ".join(value.split()[:2])


class Server(Section):
    """This section says how to reach the server."""

    host: _Host = setting(..., "Name or address of the server", "set it to the server that runs Synapse", min_length=1)
    port: int = setting(22, "SSH port", "give a port from 1 to 65535", ge=1, le=65535)
    user: _User = setting("root", "SSH user: root, or one with sudo without password", "give a user name", min_length=1)
    host_key: Annotated[str, must(_is_host_key, "is not a public host key")] = setting(
        ...,
        "The server's SSH host key, as 'ssh-ed25519 AAAA…'; any other is refused",
        "take it from `ssh-keyscan -t ed25519 HOST` (type and key, without the name) after checking it on the server",
    )
    use_agent: bool = setting(
        False,
        "Take the key from the SSH agent at SSH_AUTH_SOCK; server.privateKey may be left out then",
        "give true or false",
    )
    private_key: Annotated[SecretStr, AfterValidator(_private_key)] = setting(
        SecretStr(""),
        "SSH private key (secret), needed without server.useAgent",
        "set it with `pulumi config set --secret --path server.privateKey < keyfile`, or set server.useAgent to true",
        validate_default=True,
    )
    private_key_password: Annotated[SecretStr, AfterValidator(_private_key_password)] = setting(
        SecretStr(""),
        "Password that protects server.privateKey (secret), where one does",
        "set it with `pulumi config set --secret --path server.privateKeyPassword`; leave it out for a key without "
        "one; protect a key anew with `ssh-keygen -p -Z aes256-ctr -f keyfile`",
        validate_default=True,
    )
    status_keys: list[Annotated[str, AfterValidator(_public_key)]] = setting(
        [],
        "Public SSH keys that may ask the server for its status and nothing else, for previews in CI; "
        "they are laid into the user's authorized_keys",
        "list public keys, as 'ssh-ed25519 AAAA…'",
    )
    jump_host: _Host = setting(
        "",
        "Name or address of a jump host that the connection goes through; it is shown the same key",
        "give a name or address, or leave it out",
    )
    jump_port: int = setting(22, "SSH port of the jump host", "give a port from 1 to 65535", ge=1, le=65535)
    jump_user: _User = setting("root", "SSH user on the jump host", "give a user name", min_length=1)
    jump_host_key: Annotated[str, AfterValidator(_jump_host_key)] = setting(
        "",
        "The jump host's SSH host key, as server.hostKey",
        "take it from `ssh-keyscan -t ed25519 JUMPHOST` (type and key, without the name) after checking it there",
        validate_default=True,
    )
