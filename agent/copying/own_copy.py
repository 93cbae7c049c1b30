"""This module tries whether a store copies objects from one of its buckets to another by itself.

Then no content goes through this server. One key must reach both buckets, and no customer's key may be at either.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
"""

from __future__ import annotations

import contextlib
import secrets

from ..model.layout import RESERVED_PREFIX
from ..model.settings import StoreSettings
from ..state.run import Server
from ..store.bucket import STORE_TROUBLE

#: Bytes of the object that is copied as a trial.
SIZE = 2048


def works(server: Server, earlier: StoreSettings) -> bool:
    """Return whether the store of the server's bucket copies from the bucket `earlier` into it with the former's key.

    An object of this program's own is written into `earlier` for it, and is gone from both buckets afterwards.
    """
    store = server.settings.store
    if store.endpoint != earlier.endpoint or store.sse_customer_key or earlier.sse_customer_key:
        return False
    source, body = server.connect(earlier), secrets.token_bytes(SIZE)
    key = f"{RESERVED_PREFIX}trial/{secrets.token_hex(8)}"
    copied = False
    try:
        source.put(key, body)
        server.bucket.copy_from(earlier, key)
        copied = server.bucket.get(key) == body
    except STORE_TROUBLE:
        pass
    for bucket in (source, server.bucket):
        with contextlib.suppress(*STORE_TROUBLE):
            bucket.delete(key)
    return copied
