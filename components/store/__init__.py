"""Where the media go. Each kind of store yields the same `Store`."""

from __future__ import annotations

from dataclasses import dataclass, field

import pulumi


@dataclass(frozen=True)
class Store:
    """All that the host side knows of a store.

    `ready` are the resources that must exist while the server uses the store: every host command
    depends on them, so none is deleted under a restore.
    """

    endpoint: pulumi.Input[str]
    region: pulumi.Input[str]
    bucket: pulumi.Input[str]
    access_key_id: pulumi.Input[str] = field(repr=False)
    secret_access_key: pulumi.Input[str] = field(repr=False)
    adopt: bool
    ready: tuple[pulumi.Resource, ...]
