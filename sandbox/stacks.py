"""Stacks for the sandbox's server, configured as a user would configure them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from . import aws, b2, store, synapse
from .engine import Stack
from .world import BIN, HOST_KEY, SERVER_ADDRESS, SSH_KEY


def _server(phase: str, token: bool) -> tuple[dict[str, str], dict[str, str]]:
    """What every stack of the sandbox's server says: settings and secrets."""
    access_token, _ = synapse.seeded_media()
    host_key = " ".join(HOST_KEY.with_suffix(".pub").read_text().split()[:2])
    settings = {
        "phase": phase,
        "server.host": SERVER_ADDRESS,
        "server.hostKey": host_key,
        "host.homeserverUrl": synapse.LOCAL_URL,
        # Tests go from any phase to any other; a real stack leaves this out.
        "migration.cleanAtOnce": "true",
        "mount.goofysUrl": "file:///opt/goofys/goofys",
        "mount.goofysSha256": _sha256(BIN / "goofys"),
        "mount.rcloneUrl": "file:///opt/rclone/rclone",
        "mount.rcloneSha256": _sha256(BIN / "rclone"),
    }
    secrets = {"server.privateKey": SSH_KEY.read_text(), **({"host.accessToken": access_token} if token else {})}
    return settings, secrets


def existing(name: str, bucket: str, *, phase: str = "prepare", token: bool = True, empty: bool = True) -> Stack:
    """A stack that uses a bucket which exists; with `empty`, nothing is in it at the start."""
    if empty:
        store.empty_bucket(bucket)
    settings, secrets = _server(phase, token)
    stack = Stack(name)
    stack.create(
        {
            **settings,
            "store.kind": "existing",
            "store.endpoint": store.ENDPOINT,
            "store.region": store.REGION,
            "store.bucket": bucket,
        },
        {**secrets, "store.accessKeyId": store.ACCESS_KEY_ID, "store.secretAccessKey": store.SECRET_ACCESS_KEY},
    )
    return stack


def at_aws(name: str, bucket: str, *, phase: str = "prepare", token: bool = True, customer_key: str = "") -> Stack:
    """A stack that creates its bucket at AWS."""
    aws.up()
    aws.forget_users()
    aws.forget_bucket(bucket)
    settings, secrets = _server(phase, token)
    stack = Stack(name, extra={**aws.environment()})
    stack.create(
        {
            **settings,
            "store.kind": "aws",
            "store.bucket": bucket,
            # The objects are MinIO's; a real stack leaves this out.
            "store.endpoint": store.ENDPOINT,
        },
        {**secrets, **({"store.sseCustomerKey": customer_key} if customer_key else {})},
    )
    stack.must("config", "set", "aws:region", aws.REGION)
    # Without an account's id, tags go with the bucket and not through S3 Control, whose address is made of the id.
    stack.must("config", "set", "aws:skipRequestingAccountId", "true")
    stack.must("config", "set", "aws:skipCredentialsValidation", "true")
    return stack


def at_b2(name: str, bucket: str, *, phase: str = "prepare", token: bool = True, method: str = "rclone") -> Stack:
    """A stack that creates its bucket at Backblaze B2."""
    b2.up()
    b2.forget_keys()
    b2.forget_bucket(bucket)
    settings, secrets = _server(phase, token)
    stack = Stack(name)
    stack.create({**settings, "store.kind": "b2", "store.bucket": bucket, "copy.method": method}, secrets)
    stack.must("config", "set", "b2:endpoint", b2.ENDPOINT)
    stack.must("config", "set", "b2:applicationKeyId", b2.KEY_ID)
    stack.set_secret("b2:applicationKey", b2.KEY)
    return stack


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
