"""This module has the settings of each kind of store: a bucket that exists, or one that the stack creates."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, SecretStr, Tag, ValidationInfo, field_validator

from agent.model.layout import RESERVED

from .fields import Bucket, OptionalUrl, Section, must, setting, wrong
from .presets import PLAIN, PRESETS, Preset, belongs, recognise


def _is_customer_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    try:
        good = not text or len(base64.b64decode(text, validate=True)) == 32
    except ValueError:
        good = False
    if not good:
        raise wrong("is not 32 bytes in base64")
    return value


CustomerKey = Annotated[SecretStr, AfterValidator(_is_customer_key)]


def _customer_key() -> Any:
    return setting(
        SecretStr(""),
        "Key with which the store encrypts every object (SSE-C), as base64 of 32 bytes (secret, optional). "
        "Without it nothing in the bucket can be read: keep a copy elsewhere",
        "make one and set it with `media-store sse-key --stack <name>`",
    )


def _adopt() -> Any:
    return setting(
        False,
        "Take over a bucket whose server is gone for good, or a server whose stack is",
        "use true or false; true only for a rebuilt server, or one whose stack is gone or was renamed",
    )


def _is_prefix(value: str) -> bool:
    parts = value.split("/")
    allowed = bool(re.fullmatch(r"[A-Za-z0-9._/-]{1,200}", value))
    return not value or allowed and not {"", ".", "..", RESERVED} & {*parts}


Prefix = Annotated[
    str,
    must(
        _is_prefix,
        "has other characters than letters, digits, `.`, `_` and `-`, or slashes that are not single ones in between",
    ),
]


def _prefix() -> Any:
    return setting(
        "",
        "Folder in the bucket that the media store is, where other things are in the bucket too; empty for the whole",
        "give a path without slashes at its ends, such as matrix/media",
    )


def _on_destroy() -> Any:
    return setting(
        "retain",
        "What `pulumi destroy` does with the bucket once the media are home: retain it, or delete it with all in it",
        "use retain or delete",
    )


def _protect() -> Any:
    return setting(
        False,
        "Have the engine refuse to delete the bucket: `pulumi destroy` fails until this is false",
        "use true or false, and onDestroy: retain with true",
    )


def _key_generation() -> Any:
    return setting(
        1,
        "Number of the key; one more makes a new key, moves the server to it, and then deletes the old one",
        "give a whole number from 1",
        ge=1,
    )


class ExistingStore(Section):
    """This section describes a bucket that exists, at any S3-compatible store."""

    kind: Literal["existing"] = setting("existing", "Kind of store", "use existing, aws or b2")
    preset: Literal["", *PRESETS] = setting(  # type: ignore[valid-type]
        "",
        "A known store, which fills in endpoint and region and knows what breaks there",
        f"use one of {', '.join(PRESETS)}, or leave it out and give endpoint and region",
    )
    account: Annotated[str, must(lambda v: bool(re.fullmatch(r"[a-z0-9.]*", v)), "is not an account id")] = setting(
        "", "Account id, for Cloudflare R2 (with `.eu` or `.fedramp` behind it where the bucket has a jurisdiction)",
        "take it from the dashboard of R2",
    )  # fmt: skip
    region: str = setting(
        "", "Region of the bucket", "give the region that belongs to the endpoint", validate_default=True
    )
    endpoint: OptionalUrl = setting(
        "",
        "Address of the S3 service",
        "give the store's S3 address, such as https://s3.example.com, or a store.preset",
        validate_default=True,
    )
    bucket: Bucket = setting(..., "Name of the bucket", "give the name of a private bucket that exists")
    prefix: Prefix = _prefix()
    access_key_id: SecretStr = setting(
        ...,
        "Access key id (secret)",
        "set it with `pulumi config set --secret --path store.accessKeyId`",
        min_length=1,
    )
    secret_access_key: SecretStr = setting(
        ...,
        "Secret access key (secret)",
        "set it with `pulumi config set --secret --path store.secretAccessKey`",
        min_length=1,
    )
    sse_customer_key: CustomerKey = _customer_key()
    adopt: bool = _adopt()
    on_destroy: Literal["retain"] = setting(
        "retain",
        "What `pulumi destroy` does with the bucket: one that existed before is always retained",
        "use retain, or leave it out: a bucket that this stack did not create is never deleted",
    )

    @property
    def endpoint_used(self) -> str:
        """Return the address that the server uses."""
        return self.endpoint

    @property
    def known(self) -> Preset:
        """Return what is known of this store, by its preset or its address."""
        return PRESETS.get(self.preset or recognise(self.endpoint), PLAIN)

    @field_validator("region")
    @classmethod
    def _region_of_preset(cls, value: str, info: ValidationInfo) -> str:
        value = value or PRESETS.get(info.data.get("preset", ""), PLAIN).region
        if not value:
            raise wrong("is missing")
        return value

    @field_validator("endpoint")
    @classmethod
    def _endpoint_of_preset(cls, value: str, info: ValidationInfo) -> str:
        name, region = info.data.get("preset", ""), info.data.get("region")
        preset = PRESETS.get(name or recognise(value), PLAIN)
        if region is None or "preset" not in info.data:
            return value  # told already
        account = info.data.get("account", "")
        if not value and "{account}" in preset.endpoint and not account:
            raise wrong("is missing: the preset r2 makes it of store.account")
        value = (value or preset.endpoint.format(region=region, account=account)).rstrip("/")
        if not value:
            raise wrong("is missing")
        if not belongs(preset, value, region):
            raise wrong(f"is not the address of {name or recognise(value)} in region {region}")
        return value


def _is_aws_region(value: str) -> bool:
    return bool(re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", value))


class AwsStore(Section):
    """This section describes a bucket at AWS that the stack creates, with an IAM user that reaches nothing else."""

    kind: Literal["aws"] = setting("aws", "Kind of store", "use existing, aws or b2")
    bucket: Bucket = setting(..., "Name of the bucket to create", "give a name that nobody at AWS has yet")
    region: Annotated[str, must(_is_aws_region, "is not a region")] = setting(
        ..., "Region of the bucket: the provider's own setting aws:region", "set it with `pulumi config set aws:region`"
    )
    endpoint: OptionalUrl = setting(
        "",
        "Address of S3 as the server reaches it; empty for the region's own",
        "leave it out, or give an address such as https://s3.dualstack.eu-central-1.amazonaws.com",
    )
    prefix: Prefix = _prefix()
    storage_class: Literal["STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING"] = setting(
        "STANDARD",
        "Storage class of what is copied and uploaded",
        "use STANDARD, STANDARD_IA (billed for 30 days and 128 KiB at least) or INTELLIGENT_TIERING",
    )
    tags: dict[str, str] = setting({}, "Tags of the bucket and the user", "give names and values")
    sse_customer_key: CustomerKey = _customer_key()
    key_generation: int = _key_generation()
    adopt: bool = _adopt()
    on_destroy: Literal["retain", "delete"] = _on_destroy()
    protect: bool = _protect()
    access_logs: Annotated[
        str, must(lambda v: not v or bool(re.fullmatch(r"[a-z0-9.-]{3,63}(/[A-Za-z0-9._/-]*)?", v)), "is no bucket")
    ] = setting(
        "",
        "Bucket in the same region, with a prefix where one is wanted, to which S3 writes who read and wrote what",
        "give a bucket whose policy lets S3's logging service write, such as our-logs/matrix/, or leave it out",
    )

    @property
    def endpoint_used(self) -> str:
        """Return the address that the server uses: the stack's, or the region's own.

        https://docs.aws.amazon.com/general/latest/gr/s3.html
        """
        domain = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return self.endpoint.rstrip("/") or f"https://s3.{self.region}.{domain}"


class B2Store(Section):
    """This section describes a bucket at Backblaze B2 that the stack creates, with a key restricted to it."""

    kind: Literal["b2"] = setting("b2", "Kind of store", "use existing, aws or b2")
    bucket: Annotated[
        str,
        must(
            lambda v: bool(re.fullmatch(r"(?!b2-)[a-z0-9-]{6,63}", v)),
            "is not 6 to 63 small letters, digits and hyphens (and does not begin with b2-)",
        ),
    ] = setting(..., "Name of the bucket to create", "give a name that nobody at B2 has yet")
    prefix: Prefix = _prefix()
    api: OptionalUrl = setting(
        "",
        "Address of B2's own API for its command line: the provider's own setting b2:endpoint",
        "leave b2:endpoint out, or give an address",
    )
    key_generation: int = _key_generation()
    adopt: bool = _adopt()
    on_destroy: Literal["retain", "delete"] = _on_destroy()
    protect: bool = _protect()


def kind_of(value: Any) -> str:
    """Return which kind of store a section means; a section without `kind` is an existing bucket."""
    return str(value.get("kind", "existing")) if isinstance(value, dict) else getattr(value, "kind", "existing")


STORES: dict[str, type[Section]] = {"existing": ExistingStore, "aws": AwsStore, "b2": B2Store}
AnyStore = Annotated[
    Annotated[ExistingStore, Tag("existing")] | Annotated[AwsStore, Tag("aws")] | Annotated[B2Store, Tag("b2")],
    Discriminator(
        kind_of,
        custom_error_type="kind",
        custom_error_message="is not existing, aws or b2",
    ),
]


def customer_key_of(store: ExistingStore | AwsStore | B2Store) -> str:
    """Return a store's customer's key for SSE-C; it is empty without one."""
    return "" if isinstance(store, B2Store) else store.sse_customer_key.get_secret_value()


def store_clashes(where: str, store: ExistingStore | AwsStore | B2Store) -> list[str]:
    """Return a line for each thing of a store that is wrong together with another; `where` is its setting."""
    clashes: list[str] = []
    if not isinstance(store, ExistingStore) and store.protect and store.on_destroy == "delete":
        clashes.append(f"{where}.protect: and {where}.onDestroy: delete do not go together -- use one of them")
    if isinstance(store, ExistingStore) and store.sse_customer_key.get_secret_value():
        if not store.known.customer_keys:
            clashes.append(f"{where}.sseCustomerKey: this store's S3 side takes no customer keys -- leave it out")
        if store.endpoint.startswith("http://"):
            clashes.append(f"{where}.sseCustomerKey: would travel in plain text -- use an https:// {where}.endpoint")
    return clashes
