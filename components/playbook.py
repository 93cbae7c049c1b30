"""This module makes the lines for the playbook's vars.yml by which it serves media from the same bucket. It is pure.

That is by its own mount, or by synapse-s3-storage-provider.
"""

from __future__ import annotations

import base64
import json

from agent.model.settings import is_regions_own

#: The class that the playbook asks for by itself wherever it is told no endpoint of its own.
ITS_STORAGE_CLASS = "STANDARD_IA"
_PREFIX = "matrix_s3_media_store_"
_PROVIDER = "matrix_synapse_ext_synapse_s3_storage_provider_"
#: The storage class that the playbook has the provider write where the lines name none.
PROVIDERS_CLASS = "STANDARD"
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


def keys(access_key_id: str, secret_access_key: str) -> dict[str, str | bool]:
    """Return the playbook's variables that are secret, by name."""
    return {f"{_PREFIX}aws_access_key": access_key_id, f"{_PREFIX}aws_secret_key": secret_access_key}


#: The warning before the provider's lines, as long as media may be missing in the bucket.
PROVIDER_NOT_YET = "# not yet: pulumi config set phase mirror && pulumi up"


def provider_variables(
    endpoint: str, region: str, bucket: str, prefix: str, storage_class: str
) -> dict[str, str | bool]:
    """Return the playbook's variables for synapse-s3-storage-provider that are no secret, by name.

    The provider puts the prefix before each path as it is, so it ends in a slash here.
    https://github.com/matrix-org/synapse-s3-storage-provider
    """
    named: dict[str, str | bool] = {
        f"{_PROVIDER}enabled": True,
        f"{_PROVIDER}config_bucket": bucket,
        f"{_PROVIDER}config_region_name": region,
        f"{_PROVIDER}config_endpoint_url": endpoint,
        f"{_PROVIDER}config_storage_class": storage_class or PROVIDERS_CLASS,
    }
    return {**named, f"{_PROVIDER}config_prefix": f"{prefix}/"} if prefix else named


def provider_shown(phase: str, values: dict[str, str | bool]) -> str:
    """Return the provider's lines, and before them a warning unless the local store serves and all is in the bucket."""
    return lines(values) if phase == "mirror" else f"{PROVIDER_NOT_YET}\n{lines(values)}"


def provider_keys(key: tuple[str, str] | None, customer_key: str) -> str:
    """Return the provider's lines that are secret: its own key for the bucket, and the customer's for SSE-C.

    Without a key of the stack's making the lines say whose to take. A customer's key that is no text cannot be given to
    the provider, which takes it as a word of its configuration.
    """
    said = [] if key else ["# a key of your store for this bucket alone, which may list, read and write"]
    found = key or ("", "")
    values: dict[str, str | bool] = {
        f"{_PROVIDER}config_access_key_id": found[0],
        f"{_PROVIDER}config_secret_access_key": found[1],
    }
    if customer_key:
        try:
            text = base64.b64decode(customer_key).decode("ascii")
        except ValueError:
            said.append("# the stack's sseCustomerKey is no text: the provider cannot be given it, nor read the bucket")
        else:
            values |= {
                f"{_PROVIDER}config_sse_customer_enabled": True,
                f"{_PROVIDER}config_sse_customer_algo": "AES256",
                f"{_PROVIDER}config_sse_customer_key": text,
            }
    return "\n".join([*said, lines(values)])


def lines(values: dict[str, str | bool]) -> str:
    """Return variables as YAML; what Ansible would take for a template is marked as none."""
    return "\n".join(f"{name}: {_scalar(value)}" for name, value in values.items())


def _scalar(value: str | bool) -> str:
    text = json.dumps(value)  # JSON's strings and booleans are YAML's
    return f"!unsafe {text}" if any(mark in text for mark in TEMPLATE_MARKS) else text
