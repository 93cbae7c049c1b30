"""Stacks for the sandbox's server, configured as a user would configure them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from . import store, synapse
from .engine import Stack
from .world import BIN, HOST_KEY, SERVER_ADDRESS, SSH_KEY


def existing(name: str, bucket: str, *, phase: str = "prepare", token: bool = True) -> Stack:
    """A stack that uses a bucket which exists; the bucket starts empty."""
    store.empty_bucket(bucket)
    access_token, _ = synapse.seeded_media()
    stack = Stack(name)
    host_key = " ".join(HOST_KEY.with_suffix(".pub").read_text().split()[:2])
    stack.create(
        {
            "phase": phase,
            "server.host": SERVER_ADDRESS,
            "server.hostKey": host_key,
            "store.kind": "existing",
            "store.endpoint": store.ENDPOINT,
            "store.region": store.REGION,
            "store.bucket": bucket,
            "host.homeserverUrl": synapse.LOCAL_URL,
            "mount.goofysUrl": "file:///opt/goofys/goofys",
            "mount.goofysSha256": _sha256(BIN / "goofys"),
        },
        {
            "server.privateKey": SSH_KEY.read_text(),
            "store.accessKeyId": store.ACCESS_KEY_ID,
            "store.secretAccessKey": store.SECRET_ACCESS_KEY,
            **({"host.accessToken": access_token} if token else {}),
        },
    )
    return stack


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
