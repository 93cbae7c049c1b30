"""This module knows S3-compatible stores: their addresses, and what breaks on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Preset:
    """A `Preset` is what is known of a kind of store; an empty `endpoint` or `region` must be given by the stack."""

    #: Address, with `{region}` and `{account}` filled from the stack.
    endpoint: str = ""
    region: str = ""
    #: A regular expression that every address of this store matches.
    hosts: str = ""
    #: The region of its address that names none.
    unnamed_region: str = ""
    #: Why goofys must not mount it; empty where it may.
    goofys_breaks: str = ""
    #: What rclone calls it, and so knows of its ways: https://rclone.org/s3/#s3-provider
    rclone: str = "Other"
    #: Whether the S3 side takes customer keys (SSE-C).
    customer_keys: bool = True


PRESETS = {
    "gcs": Preset(
        endpoint="https://storage.googleapis.com",
        region="auto",
        hosts=r"(.*\.)?storage\.googleapis\.com",
        rclone="GCS",
        customer_keys=False,
    ),
    "wasabi": Preset(
        endpoint="https://s3.{region}.wasabisys.com",
        hosts=r"s3(\.{region})?\.wasabisys\.com",
        unnamed_region="us-east-1",  # https://rclone.org/s3/#wasabi
        rclone="Wasabi",
    ),
    "r2": Preset(
        endpoint="https://{account}.r2.cloudflarestorage.com",
        region="auto",
        hosts=r".*\.r2\.cloudflarestorage\.com",
        rclone="Cloudflare",
        goofys_breaks="goofys uploads large files in parts of growing size, which R2 refuses",
    ),
    "hetzner": Preset(
        endpoint="https://{region}.your-objectstorage.com",
        hosts=r"{region}\.your-objectstorage\.com",
        rclone="Hetzner",
    ),
    "digitalocean": Preset(
        endpoint="https://{region}.digitaloceanspaces.com",
        hosts=r"{region}\.digitaloceanspaces\.com",
        rclone="DigitalOcean",
    ),
    "minio": Preset(region="us-east-1", rclone="Minio"),
    "ceph": Preset(region="us-east-1", rclone="Ceph"),
    "b2": Preset(endpoint="https://s3.{region}.backblazeb2.com", hosts=r"s3\.{region}\.backblazeb2\.com"),
    "aws": Preset(
        endpoint="https://s3.{region}.amazonaws.com",
        hosts=r"s3([.-](.*\.)?{region})?\.amazonaws\.com(\.cn)?",
        unnamed_region="us-east-1",  # https://docs.aws.amazon.com/general/latest/gr/s3.html
        rclone="AWS",
    ),
}
#: Any other store with an S3 API.
PLAIN = Preset()
#: What stands for any region in `hosts`, to recognise a store by its address.
_ANY_REGION = r"[a-z0-9-]+"


def _host(endpoint: str) -> str:
    try:
        return urlsplit(endpoint).hostname or ""
    except ValueError:  # such as an IPv6 address without its end
        return ""


def recognise(endpoint: str) -> str:
    """Return the name of the preset whose addresses look like this one; it is empty where none does."""
    host = _host(endpoint)
    for name, preset in PRESETS.items():
        if preset.hosts and re.fullmatch(preset.hosts.replace("{region}", _ANY_REGION), host):
            return name
    return ""


def region_of(endpoint: str) -> str:
    """Return the region that a known store's address belongs to; it is empty where no store is known by it."""
    preset = PRESETS.get(recognise(endpoint), PLAIN)
    if preset.region or not preset.hosts:
        return preset.region
    named = re.fullmatch(preset.hosts.replace("{region}", f"(?P<region>{_ANY_REGION})"), _host(endpoint))
    return named["region"] or preset.unnamed_region if named else ""


def belongs(preset: Preset, endpoint: str, region: str) -> bool:
    """Return whether the address is one of that store, in that region."""
    return not preset.hosts or bool(re.fullmatch(preset.hosts.replace("{region}", re.escape(region)), _host(endpoint)))
