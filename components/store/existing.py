"""This module stands for a bucket that exists already, at any S3-compatible store.

The stack creates and deletes nothing there.
"""

from __future__ import annotations

import pulumi

from ..settings import ExistingStore
from . import Store


class ExistingBucket(pulumi.ComponentResource):
    """An `ExistingBucket` stands in the stack for a bucket that somebody else looks after."""

    store: Store

    def __init__(self, name: str, *, settings: ExistingStore, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("matrix-media-store:store:ExistingBucket", name, None, opts)
        self.store = Store(
            endpoint=settings.endpoint,
            region=settings.region,
            bucket=settings.bucket,
            access_key_id=pulumi.Output.secret(settings.access_key_id.get_secret_value()),
            secret_access_key=pulumi.Output.secret(settings.secret_access_key.get_secret_value()),
            adopt=settings.adopt,
            prefix=settings.prefix,
            rclone_provider=settings.known.rclone,
            sse_customer_key=pulumi.Output.secret(settings.sse_customer_key.get_secret_value()),
            ready=(),  # nothing of this store is in the stack, so nothing can be deleted under a restore
        )
        self.register_outputs({"endpoint": self.store.endpoint, "bucket": self.store.bucket})
