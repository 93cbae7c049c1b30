"""This package says where the media go. Each kind of store is a module here and yields the same `Store`.

Only the module of the stack's own kind is imported, so no other provider is loaded or asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi

from ..settings import AnyStore, AwsStore, B2Store, ExistingStore, Settings


@dataclass(frozen=True)
class Store:
    """A `Store` is all that the host side knows of a store.

    `ready` are the resources that must exist while the server uses the store: every host command depends on them, so
    none is deleted under a restore.
    """

    endpoint: pulumi.Input[str]
    region: pulumi.Input[str]
    bucket: pulumi.Input[str]
    access_key_id: pulumi.Input[str] = field(repr=False)
    secret_access_key: pulumi.Input[str] = field(repr=False)
    adopt: bool
    #: The folder in the bucket that the media store is; empty for the whole bucket.
    prefix: str
    ready: tuple[pulumi.Resource, ...]
    #: For SSE-C, base64 of 32 bytes; empty without.
    sse_customer_key: pulumi.Input[str] = field(default="", repr=False)
    #: What rclone calls this kind of store.
    rclone_provider: str = "Other"
    #: Storage class of what is written; empty for the store's own default.
    storage_class: str = ""
    #: For how many seconds a new key may be refused before that is an error.
    key_patience: int = 0
    #: Address of Backblaze's own API, for its command line; empty for the public one.
    b2_api: str = ""
    #: Id and secret of a key for synapse-s3-storage-provider, where the stack makes one; it outlives the stack.
    provider_key: tuple[pulumi.Input[str], pulumi.Input[str]] | None = field(default=None, repr=False)
    #: What the stack's outputs say of it besides, by name.
    shown: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    #: Whether `pulumi destroy` empties the bucket once the media are home, so that it can be deleted.
    empty_on_destroy: bool = False


def provider_trouble(settings: Settings, config: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """Return why the provider of the stack's kind of store could not work, or an empty text.

    :param config: the engine's configuration by full key, in plain text.
    """
    for store in settings.all_stores.values():
        if isinstance(store, B2Store):
            from .b2_keys import trouble

            return trouble(store.api, config, environment)
    return ""


def make_stores(name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> dict[str, Store]:
    """Return all stores of the stack by their names; their components are called `name`, with the store's own in it.

    They have the options `opts`.

    A name never moves: where a new store took the resources' names of an earlier one, the engine would take it for
    that.
    """
    earlier = [each for key, each in settings.all_stores.items() if key != settings.store_name]
    reads = [each for each in earlier if isinstance(each, AwsStore)]
    stores = {}
    for key, each in settings.all_stores.items():
        called = f"{name}-{key}-bucket" if key else f"{name}-bucket"
        serves = key == settings.store_name
        to_provider = serves and settings.host.storage_provider == "to"
        stores[key] = make_store(called, each, reads if serves else (), to_provider=to_provider, opts=opts)
    return stores


def make_store(
    name: str,
    wanted: AnyStore,
    reads: Sequence[AwsStore] = (),
    *,
    to_provider: bool = False,
    opts: pulumi.ResourceOptions | None = None,
) -> Store:
    """Return a store that the stack asks for, as a component called `name` with the options `opts`.

    Its key may read the buckets of the stores `reads` too, so that AWS itself copies from them in a move. With
    `to_provider` it has one more key, for synapse-s3-storage-provider.
    """
    if isinstance(wanted, AwsStore):
        from .aws import AwsBucket

        return AwsBucket(name, settings=wanted, reads=reads, to_provider=to_provider, opts=opts).store
    if isinstance(wanted, B2Store):
        from .b2 import B2Bucket

        return B2Bucket(name, settings=wanted, to_provider=to_provider, opts=opts).store
    from .existing import ExistingBucket

    assert isinstance(wanted, ExistingStore)

    return ExistingBucket(name, settings=wanted, opts=opts).store
