"""This module reads what a playbook's `inventory/host_vars/<domain>/vars.yml` says of the media store. It is pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from components.settings.presets import PRESETS, recognise

from .workspace import OperationError

#: The playbook's own defaults, from its roles.
BASE_PATH, DIRECTORY, REGION = "/matrix", "media-store", "eu-central-1"
_STORE = "matrix_s3_media_store_"


@dataclass(frozen=True)
class Found:
    """A `Found` has settings by path, in plain text and secret, and what the file holds that nobody can read here."""

    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: Settings whose value is encrypted with Ansible Vault or made by a template: variable by path.
    hidden: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class _Hidden(str):
    """A `_Hidden` stands for a value that only Ansible can tell; its text says why."""


class _Loader(yaml.SafeLoader):
    """This loader of YAML knows that Ansible has tags of its own."""


def _vault(loader: yaml.SafeLoader, node: yaml.Node) -> _Hidden:
    return _Hidden("encrypted with Ansible Vault")


def _as_it_is(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Loader.add_constructor("!vault", _vault)
_Loader.add_multi_constructor("!", _as_it_is)


def load(text: str) -> dict[str, Any]:
    """Return the file's variables; those that a template makes are hidden. Raises OperationError where it has none."""
    if text.startswith("$ANSIBLE_VAULT"):
        raise OperationError(
            "the file is encrypted as a whole -- give it decrypted: "
            "media-store init --vars <(ansible-vault view vars.yml) --stack …, or leave --vars out and answer"
        )
    try:
        document = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise OperationError(f"the file is no YAML{f' (line {mark.line + 1})' if mark else ''}") from None
    if not isinstance(document, dict):
        raise OperationError("the file holds no variables -- give the host's vars.yml")
    return {
        str(name): _Hidden("made by a template") if isinstance(value, str) and "{{" in value else value
        for name, value in document.items()
    }


def read(text: str) -> Found:
    """Return the stack's settings that follow from the file. Raises OperationError where the migration cannot work."""
    values = load(text)
    implementation = str(values.get("matrix_homeserver_implementation", "synapse"))
    if implementation != "synapse":
        raise OperationError(
            f"the homeserver is {implementation}: only Synapse's media store is supported -- "
            "for Dendrite and Conduit, stop it, copy its media folder with rclone, and mount the bucket in its place"
        )
    found: dict[str, str] = {}
    notes: list[str] = []
    media_store = _media_store(values)
    if not isinstance(media_store, _Hidden):
        found["host.mediaStore"] = media_store
    domain = values.get("matrix_server_fqn_matrix") or (
        f"matrix.{values['matrix_domain']}" if _told(values.get("matrix_domain")) else None
    )
    if _told(domain):
        found |= {"server.host": str(domain), "host.homeserverUrl": f"https://{domain}"}
    if values.get(f"{_STORE}enabled") is True:
        notes.append(_enabled(values, media_store))
    found |= _place(values, notes)
    secrets, hidden = {}, {}
    for name, path in {
        "aws_access_key": "store.accessKeyId", "aws_secret_key": "store.secretAccessKey",
        "sse_key": "store.sseCustomerKey", "bucket_name": "store.bucket",
    }.items():  # fmt: skip
        value = values.get(_STORE + name)
        if isinstance(value, _Hidden):
            hidden[path] = f"{_STORE}{name}: {value}"
        elif value and path != "store.bucket":
            secrets[path] = str(value)
        elif value:
            found[path] = str(value)
    return Found(found, secrets, hidden, tuple(notes))


def _told(value: object) -> bool:
    return bool(value) and not isinstance(value, _Hidden)


def _media_store(values: Mapping[str, Any]) -> str:
    """Return where the playbook lays the media store; it is hidden where a template says."""
    base = values.get("matrix_base_data_path", BASE_PATH)
    synapse = values.get("matrix_synapse_base_path", f"{base}/synapse")
    storage = values.get("matrix_synapse_storage_path", f"{synapse}/storage")
    if any(isinstance(part, _Hidden) for part in (base, synapse, storage)):
        return _Hidden("made by a template")
    name = values.get("matrix_synapse_media_store_directory_name", DIRECTORY)
    return str(PurePosixPath(str(storage), str(name)))


def _enabled(values: Mapping[str, Any], media_store: str) -> str:
    """Return a note. Raises OperationError where the playbook itself mounts the bucket over the media store."""
    path = values.get(f"{_STORE}path")
    if path is None or path == media_store:
        raise OperationError(
            f"{_STORE}enabled is true, so the playbook mounts the bucket over the media store itself -- set it to "
            "false, run the playbook (--tags=setup-all,start), see that the media store is local (what only the bucket "
            "has must be copied back first, with rclone copy), and start again"
        )
    return f"the playbook mounts the bucket at {path} too: set {_STORE}enabled to false when this is done"


def _place(values: Mapping[str, Any], notes: list[str]) -> dict[str, str]:
    """Return endpoint and region; a known store's address says the region, whatever the file says."""
    if not any(name.startswith(_STORE) for name in values):
        return {}
    region = values.get(f"{_STORE}region", REGION)
    found = {} if isinstance(region, _Hidden) else {"store.region": str(region)}
    if not values.get(f"{_STORE}custom_endpoint_enabled"):
        return {"store.kind": "existing", "store.preset": "aws", **found}
    endpoint = values.get(f"{_STORE}custom_endpoint")
    if not _told(endpoint):
        return {"store.kind": "existing", **found}
    address = str(endpoint) if "://" in str(endpoint) else f"https://{endpoint}"
    preset = recognise(address)
    told = PRESETS[preset].region if preset else ""
    if preset == "b2":
        told = str(urlsplit(address).hostname).split(".")[1]
    if told and f"{_STORE}region" in values and str(region) != told:
        notes.append(f"{_STORE}region says {region}; the address {address} belongs to {told}, which is taken")
    return {
        "store.kind": "existing",
        "store.endpoint": address.rstrip("/"),
        **({"store.region": told} if told else found),
    }
