"""This module makes a private bucket at Backblaze B2, and an application key that reaches nothing but that bucket."""

from __future__ import annotations

from urllib.parse import urlsplit

import pulumi
import pulumi_b2 as b2

from ..settings import B2Store
from . import Store

#: The least capabilities with which mount, mirror, the b2 command line and restore work.
#: Without listAllBucketNames, which would show the names of all other buckets.
CAPABILITIES = ("listBuckets", "listFiles", "readFiles", "writeFiles", "deleteFiles")
#: Those of synapse-s3-storage-provider, which removes nothing from the bucket.
PROVIDERS_CAPABILITIES = ("listBuckets", "listFiles", "readFiles", "writeFiles")
#: The manual procedure's rule: no days till hide, one day till delete.
DAYS_OF_HIDDEN_FILES = 1
#: B2 spreads a new key within seconds.
KEY_PATIENCE_SECONDS = 60


def region_of(s3_url: str) -> str:
    """Return the region in the address of B2's S3 side: `s3.<region>.backblazeb2.com`."""
    return (urlsplit(s3_url).hostname or "").split(".")[1]


class B2Bucket(pulumi.ComponentResource):
    """A `B2Bucket` is the bucket with its lifecycle rule, and its application key."""

    store: Store

    def __init__(
        self, name: str, *, settings: B2Store, to_provider: bool = False, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("matrix-media-store:store:B2Bucket", name, None, opts)
        bucket = b2.Bucket(
            name,
            bucket_name=settings.bucket,
            bucket_type="allPrivate",
            lifecycle_rules=[
                # Never days_from_uploading_to_hiding: it would hide live media.
                b2.BucketLifecycleRuleArgs(
                    file_name_prefix="",
                    days_from_hiding_to_deleting=DAYS_OF_HIDDEN_FILES,
                    days_from_starting_to_canceling_unfinished_large_files=DAYS_OF_HIDDEN_FILES,
                )
            ],
            opts=pulumi.ResourceOptions(
                parent=self, retain_on_delete=settings.on_destroy == "retain", protect=settings.protect or None
            ),
        )
        # Named by its generation: the new key is made before the server moves, the old one goes last.
        key = b2.ApplicationKey(
            f"{name}-key-{settings.key_generation}",
            key_name=f"matrix-media-store-{settings.bucket}",
            capabilities=list(CAPABILITIES),
            bucket_ids=[bucket.bucket_id],
            opts=pulumi.ResourceOptions(parent=self),
        )
        provider_key = self._provider_key(name, settings, bucket) if to_provider else None
        # The answer holds a token, so all of it is marked secret; the address is none.
        s3_url = pulumi.Output.unsecret(b2.get_account_info_output().s3_api_url)
        self.store = Store(
            endpoint=s3_url,
            region=s3_url.apply(region_of),
            bucket=settings.bucket,
            access_key_id=pulumi.Output.secret(key.application_key_id),
            secret_access_key=pulumi.Output.secret(key.application_key),
            adopt=settings.adopt,
            prefix=settings.prefix,
            ready=(bucket, key),
            b2_api=settings.api,
            key_patience=KEY_PATIENCE_SECONDS,
            provider_key=provider_key,
            empty_on_destroy=settings.on_destroy == "delete",
        )
        self.register_outputs({"endpoint": s3_url, "bucket": bucket.bucket_name})

    def _provider_key(
        self, name: str, settings: B2Store, bucket: b2.Bucket
    ) -> tuple[pulumi.Input[str], pulumi.Input[str]]:
        """Make a key for synapse-s3-storage-provider, which serves from here once the stack is gone."""
        key = b2.ApplicationKey(
            f"{name}-provider-key",
            key_name=f"storage-provider-{settings.bucket}",
            capabilities=list(PROVIDERS_CAPABILITIES),
            bucket_ids=[bucket.bucket_id],
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        return pulumi.Output.secret(key.application_key_id), pulumi.Output.secret(key.application_key)
