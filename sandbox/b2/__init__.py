"""Backblaze B2 in the sandbox: its own API here, over the same objects that MinIO shows as the S3 side."""

from __future__ import annotations

import sys

from b2sdk.v3 import B2Api, InMemoryAccountInfo

from .. import process, store
from ..world import B2_S3_HOST, HOST_ADDRESS, ROOT, tell

PORT = 9020
ENDPOINT = f"http://{HOST_ADDRESS}:{PORT}"
S3_ENDPOINT = f"https://{B2_S3_HOST}:{store.PORT}"
PROCESS = "b2"
#: The account's master key, as the engine knows it. It does not work on the S3 side.
KEY_ID = "000sandboxmaster0001"
KEY = "K000sandbox-master-Zt7Qe+4mYw9/pLx"


def up() -> None:
    """Start the service and wait until it answers. It forgets everything when it ends."""
    if process.pid(PROCESS) is None:
        tell("starting B2")
        process.start(PROCESS, [sys.executable, "-m", "sandbox.b2.service"], env={"PYTHONPATH": str(ROOT)})
    process.await_http(PROCESS, HOST_ADDRESS, PORT)


def down() -> None:
    process.stop(PROCESS)


def api(key_id: str = KEY_ID, key: str = KEY) -> B2Api:
    """The account through b2sdk, with the master key or another."""
    made = B2Api(InMemoryAccountInfo())
    made.authorize_account(key_id, key, ENDPOINT)
    return made


def forget_keys() -> None:
    """No key but the master key."""
    account = api()
    for key in account.list_keys():
        account.delete_key(key)


def forget_bucket(name: str) -> None:
    """No bucket of that name."""
    store.remove_bucket(name)
    account = api()
    for bucket in account.list_buckets():
        if bucket.name == name:
            account.delete_bucket(bucket)
