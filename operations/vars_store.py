"""This module reads what a playbook's vars.yml says of a bucket: for its mount, or for synapse-s3-storage-provider."""

from __future__ import annotations

import base64
from dataclasses import replace

from components.settings.presets import PLAIN, PRESETS, belongs, recognise, region_of

from .variables import Found, Hidden, Variables, said

MOUNT = "matrix_s3_media_store_"
PROVIDER = "matrix_synapse_ext_synapse_s3_storage_provider_"
#: The region of the playbook's role where the file names none.
REGION = "eu-central-1"
#: What the role's defaults and the playbook's pages say in the place of a value.
_SAMPLES = (
    "your-bucket-name", "your-custom-endpoint", "https://your-custom-endpoint", "your-aws-access-key",
    "your-aws-secret-key", "access-key-goes-here", "secret-key-goes-here",
)  # fmt: skip


def read(variables: Variables, media_store: str) -> Found:
    """Return what the file says of a bucket, and that its mount is to be taken over where it serves already.

    :param media_store: the media store's path, or why it is not known.
    """
    mounted, bucket = _mounted(variables, media_store), _mount(variables)
    is_named = bool(bucket.settings or bucket.secrets or bucket.hidden)
    return mounted | _of_its_mount(bucket, mounted) | _provider(variables, is_needed=not is_named)


def _of_its_mount(bucket: Found, mounted: Found) -> Found:
    """Return the bucket as the playbook's mount fills it, where that serves: no released playbook has it encrypt."""
    if "host.adoptMount" not in mounted.settings or not {"store.sseCustomerKey"} & {*bucket.secrets, *bucket.hidden}:
        return bucket
    note = f"{MOUNT}sse_key is left out: no released playbook encrypts with it; set store.sseCustomerKey if yours does"
    secrets, hidden = (
        {path: value for path, value in part.items() if path != "store.sseCustomerKey"}
        for part in (bucket.secrets, bucket.hidden)
    )
    return replace(bucket, secrets=secrets, hidden=hidden, notes=(*bucket.notes, note))


def _text(variables: Variables, name: str) -> str:
    text = variables.text(name)
    return "" if text in _SAMPLES else text


def _mounted(variables: Variables, media_store: str) -> Found:
    """Return a note, and the settings of a stack that takes over the mount where that is the media store's."""
    enabled, path = variables.text(f"{MOUNT}enabled"), variables.text(f"{MOUNT}path")
    named = variables.text("matrix_synapse_media_store_path")
    if isinstance(enabled, Hidden):
        return Found(notes=(f"{enabled}: the playbook must not mount a bucket over the media store itself",))
    if not variables.flag(f"{MOUNT}enabled"):
        return Found()
    if not path or path.rstrip("/") in (media_store, named.rstrip("/")):
        note = (
            f"the playbook mounts the bucket over the media store already ({MOUNT}enabled is true): the stack takes it "
            "over, beneath a homeserver that runs on, and goes straight to phase clean -- after pulumi up, and "
            f'before the playbook runs again, take the {MOUNT}* lines out of vars.yml; see "Taking over a mount" in '
            "docs/runbook.md"
        )
        return Found({"phase": "clean", "host.adoptMount": "true"}, notes=(note,))
    if isinstance(path, Hidden):
        return Found(notes=(f"{path}: the playbook mounts the bucket there, and must not over the media store",))
    return Found(
        notes=(f"the playbook mounts the bucket at {path} too: set {MOUNT}enabled to false when this is done",)
    )


def _mount(variables: Variables) -> Found:
    """Return the bucket that the playbook would mount."""
    texts = {
        name: _text(variables, MOUNT + name)
        for name in ("bucket_name", "aws_access_key", "aws_secret_key", "sse_key", "region", "custom_endpoint")
    }
    if not any(texts.values()):
        return Found()
    return (
        _place(variables, texts["bucket_name"], texts["region"], texts["custom_endpoint"])
        | said("store.bucket", texts["bucket_name"])
        | said("store.accessKeyId", texts["aws_access_key"])
        | said("store.secretAccessKey", texts["aws_secret_key"])
        | said("store.sseCustomerKey", texts["sse_key"])
    )


def _place(variables: Variables, bucket: str, region: str, endpoint: str) -> Found:
    """Return endpoint and region of the playbook's mount, which is at AWS unless it is told otherwise."""
    switch = f"{MOUNT}custom_endpoint_enabled"
    custom, hidden = variables.flag(switch), variables.text(switch)
    asked = said("store.region", region) | Found(defaults={"store.region": REGION})
    if isinstance(hidden, Hidden):
        return said("store.endpoint", hidden) | asked
    if custom and not endpoint:
        return said("store.endpoint", Hidden(f"{switch} is true, and {MOUNT}custom_endpoint says nothing")) | asked
    if endpoint and not custom:
        why = f"{MOUNT}custom_endpoint is set, and {switch} is not true: the playbook would take AWS"
        return said("store.endpoint", Hidden(why)) | asked
    if not endpoint:
        return Found({"store.preset": "aws"}) | said("store.region", region or REGION, REGION)
    if isinstance(endpoint, Hidden):
        return said("store.endpoint", endpoint) | asked
    return _at(endpoint, bucket, region, f"{MOUNT}region", REGION)


def _at(endpoint: str, bucket: str, region: str, variable: str, default: str) -> Found:
    """Return endpoint and region; a known store's address says the region, whatever the file says."""
    address = _address(endpoint, bucket)
    known, own = recognise(address), region_of(address)
    preset = PRESETS.get(known, PLAIN)
    here = Found({"store.endpoint": address})
    if not own:
        region = region or Hidden(f"{variable} says nothing, and neither does the address {address}")
        return here | said("store.region", region, default)
    if region in ("", own) or isinstance(region, Hidden):
        return here | said("store.region", own)
    if not preset.region and belongs(preset, address, region):
        why = Hidden(f"{variable} says {region}, and the address {address} is that of {own}")
        return Found({"store.preset": known}) | said("store.region", why)
    note = f"{variable} says {region}; the address {address} belongs to {own}, which is taken"
    return here | said("store.region", own) | Found(notes=(note,))


def _address(endpoint: str, bucket: str) -> str:
    """Return an endpoint as an address: with its scheme, and without a bucket's name in front of a known store's."""
    address = (endpoint if "://" in endpoint else f"https://{endpoint}").rstrip("/")
    without = address.replace(f"://{bucket}.", "://", 1)
    return without if recognise(without) else address


def _provider(variables: Variables, is_needed: bool) -> Found:
    """Return a note where synapse-s3-storage-provider is set up, and its bucket as an offer where none is known."""
    switch = variables.text(f"{PROVIDER}enabled")
    if not (variables.flag(f"{PROVIDER}enabled") or isinstance(switch, Hidden)):
        return Found()
    is_there = switch if isinstance(switch, Hidden) else f"{PROVIDER}enabled is true"
    note = (
        f"{is_there}: the nightly job of synapse-s3-storage-provider would remove the only copies once the bucket "
        f"serves -- a stack of the provider's own bucket keeps it off (host.storageProvider: from); for another bucket "
        f"phase live is refused until the {PROVIDER}* lines are out; docs/runbook.md says how under "
        '"synapse-s3-storage-provider"'
    )
    bucket, endpoint = (_text(variables, f"{PROVIDER}config_{name}") for name in ("bucket", "endpoint_url"))
    if not is_needed or not bucket or isinstance(bucket, Hidden):
        return Found(notes=(note,))
    question = f"Shall the media go into the provider's bucket, {bucket}?"
    return Found(notes=(note,), offer=(question, _offered(variables, bucket, endpoint)))


def _offered(variables: Variables, bucket: str, endpoint: str) -> Found:
    region = variables.text(f"{PROVIDER}config_region_name")
    if isinstance(endpoint, Hidden):
        place = said("store.endpoint", endpoint) | said("store.region", region)
    elif endpoint:
        place = _at(endpoint, bucket, region, f"{PROVIDER}config_region_name", "")
    else:
        place = Found({"store.preset": "aws"}) | said("store.region", region)
    return (
        place
        | Found({"host.storageProvider": "from"})
        | said("store.bucket", bucket)
        | said("store.prefix", _prefix(variables.text(f"{PROVIDER}config_prefix")))
        | said("store.accessKeyId", _text(variables, f"{PROVIDER}config_access_key_id"))
        | said("store.secretAccessKey", _text(variables, f"{PROVIDER}config_secret_access_key"))
        | said("store.sseCustomerKey", _customer_key(variables))
    )


def _prefix(prefix: str) -> str:
    """Return the folder that a prefix means: the provider puts it before each path as it is."""
    if not prefix or isinstance(prefix, Hidden):
        return prefix
    if not prefix.endswith("/"):
        return Hidden(f"{PROVIDER}config_prefix is {prefix}, without a slash at its end: no folder in the bucket")
    return prefix.removesuffix("/")


def _customer_key(variables: Variables) -> str:
    """Return the provider's key as base64: boto3 takes the 32 bytes themselves."""
    switch, key = (variables.text(f"{PROVIDER}config_sse_customer_{name}") for name in ("enabled", "key"))
    if isinstance(switch, Hidden) or not variables.flag(f"{PROVIDER}config_sse_customer_enabled"):
        return switch if isinstance(switch, Hidden) else ""
    return key if isinstance(key, Hidden) else base64.b64encode(key.encode()).decode()
