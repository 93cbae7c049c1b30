"""This module makes the lines for the playbook's vars.yml by which its own mount serves the same bucket. It is pure."""

from __future__ import annotations

import json

from agent.model.settings import is_regions_own

#: The class that the playbook asks for by itself wherever it is told no endpoint of its own.
ITS_STORAGE_CLASS = "STANDARD_IA"
_PREFIX = "matrix_s3_media_store_"
#: What in a text makes it a template for Ansible.
TEMPLATE_MARKS = ("{{", "{%", "{#")


def variables(endpoint: str, region: str, bucket: str, storage_class: str) -> dict[str, str | bool]:
    """Return the playbook's variables that are no secret, by name.

    The endpoint is named unless that would change the storage class (at AWS).
    """
    named: dict[str, str | bool] = {
        f"{_PREFIX}enabled": True,
        f"{_PREFIX}bucket_name": bucket,
        f"{_PREFIX}region": region,
    }
    if storage_class == ITS_STORAGE_CLASS and is_regions_own(endpoint, region):
        return named
    return {**named, f"{_PREFIX}custom_endpoint_enabled": True, f"{_PREFIX}custom_endpoint": endpoint}


#: The warning before the lines, as long as nothing keeps the playbook's mount off a local store.
NOT_YET = "# not yet: pulumi config set --path mount.managedBy playbook && pulumi up"


def shown(managed_by: str, values: dict[str, str | bool]) -> str:
    """Return the variables' lines, and before them a warning unless the playbook may mount the bucket."""
    return lines(values) if managed_by == "playbook" else f"{NOT_YET}\n{lines(values)}"


def keys(access_key_id: str, secret_access_key: str) -> dict[str, str | bool]:
    """Return the playbook's variables that are secret, by name."""
    return {f"{_PREFIX}aws_access_key": access_key_id, f"{_PREFIX}aws_secret_key": secret_access_key}


def lines(values: dict[str, str | bool]) -> str:
    """Return variables as YAML; what Ansible would take for a template is marked as none."""
    return "\n".join(f"{name}: {_scalar(value)}" for name, value in values.items())


def _scalar(value: str | bool) -> str:
    text = json.dumps(value)  # JSON's strings and booleans are YAML's
    return f"!unsafe {text}" if any(mark in text for mark in TEMPLATE_MARKS) else text
