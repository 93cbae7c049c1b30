"""This module has the resources of backblaze/b2 that the program uses: real calls with b2sdk, as the provider's.

terraform-provider-b2, b2/resource_b2_*.go and python-bindings/b2_terraform/provider_tool.py.
"""

from __future__ import annotations

import functools
import json
import os
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from b2sdk.v3 import B2Api, InMemoryAccountInfo
from b2sdk.v3.exception import BadRequest, BucketIdNotFound

from ..bridged import BridgedResource
from ..checking import Values
from ..resource import Log, Provider
from .schema import SCHEMA, config, inputs_of

#: What the parameter may ask for here.
NAMES = ("registry.opentofu.org/backblaze/b2", "registry.terraform.io/backblaze/b2", "backblaze/b2")
_CONFIG: Values = {}
T = TypeVar("T")


def parameterize(value: bytes) -> tuple[str, str]:
    """The package that a parameter, as the generated SDK holds it, asks for."""
    remote = json.loads(value)["remote"]
    if remote["url"] not in NAMES or remote["version"] != SCHEMA["version"]:
        raise RuntimeError(f"the stand-in has {NAMES[-1]} {SCHEMA['version']} only, not {remote}")
    return "b2", str(remote["version"])


def configure(values: Values) -> None:
    """Kept only: as the published provider, it authorizes with the first call."""
    _CONFIG.update(values)


def _api() -> B2Api:
    def setting(name: str, variable: str) -> str:
        return str(_CONFIG.get(name) or os.environ.get(variable, ""))

    key_id, key = setting("applicationKeyId", "B2_APPLICATION_KEY_ID"), setting("applicationKey", "B2_APPLICATION_KEY")
    if not key_id or not key:
        raise RuntimeError("B2 Application Key and Application Key ID must be provided")
    api = B2Api(InMemoryAccountInfo())
    api.authorize_account(key_id, key, setting("endpoint", "B2_ENDPOINT") or "production")
    return api


def _as_published(call: Callable[..., T]) -> Callable[..., T]:
    """Raise errors as the user sees them: the provider runs Python beside itself and passes on its traceback.

    The bridge puts a colon between that and a detail, of which there is none.
    """

    @functools.wraps(call)
    def act(*arguments: Any) -> T:
        try:
            return call(*arguments)
        except Exception:
            raise RuntimeError(f"{traceback.format_exc()}: ") from None

    return act


class Bucket(BridgedResource):
    """`b2:index/bucket:Bucket`. Deleting one that is not empty fails."""

    inputs = inputs_of("b2:index/bucket:Bucket", ("bucketName",))
    outputs = ("bucketId", "b2BucketId", "accountId", "options", "revision")
    stable_outputs = ("bucketId", "b2BucketId", "accountId", "options")
    #: The id, and what B2 sets by itself on a bucket, which is no change.
    computed = ("b2BucketId", "defaultServerSideEncryption", "fileLockConfigurations")

    def _arguments(self, inputs: Values) -> Values:
        if set(inputs) - {"bucketName", "bucketType", "bucketInfo", "lifecycleRules", "__defaults"}:
            raise RuntimeError("the stand-in takes no more of a bucket than name, type, info and lifecycle rules")
        rules = [
            {name: value if name == "fileNamePrefix" else value or None for name, value in rule.items()}
            for rule in inputs.get("lifecycleRules") or []
        ]
        return {"bucket_info": inputs.get("bucketInfo") or {}, "lifecycle_rules": rules, "cors_rules": []}

    @staticmethod
    def _found(bucket: Any) -> Values:
        found = bucket.as_dict()
        return {
            "bucketId": bucket.id_, "b2BucketId": bucket.id_, "accountId": found["accountId"],
            "options": sorted(found["options"]), "revision": found["revision"], "bucketName": found["bucketName"],
            "bucketType": found["bucketType"], "bucketInfo": found["bucketInfo"], "corsRules": found["corsRules"],
            "lifecycleRules": [
                {name: value for name, value in rule.items() if value is not None} for rule in found["lifecycleRules"]
            ],
        }  # fmt: skip

    @_as_published
    def create(self, inputs: Values, log: Log) -> Values:
        return self._found(_api().create_bucket(inputs["bucketName"], inputs["bucketType"], **self._arguments(inputs)))

    @_as_published
    def update(self, state: Values, inputs: Values, log: Log) -> Values:
        bucket = _api().get_bucket_by_id(state["bucketId"])
        return self._found(bucket.update(bucket_type=inputs["bucketType"], **self._arguments(inputs)))

    @_as_published
    def read(self, state: Values) -> Values | None:
        try:
            return self._found(_api().get_bucket_by_id(state["bucketId"]))
        except BucketIdNotFound:
            return None

    @_as_published
    def delete(self, state: Values, log: Log) -> None:
        api = _api()
        bucket = api.get_bucket_by_id(state["bucketId"])
        try:
            api.delete_bucket(bucket)
        except BadRequest as error:
            if error.code != "bad_bucket_id":
                raise

    def id_of(self, name: str, properties: Values) -> str:
        return str(properties["bucketId"])


class ApplicationKey(BridgedResource):
    """`b2:index/applicationKey:ApplicationKey`; every change replaces, and only its making shows the key."""

    inputs = inputs_of("b2:index/applicationKey:ApplicationKey")
    outputs = ("applicationKey", "applicationKeyId", "expirationTimestamp", "options")
    secret_outputs = ("applicationKey",)
    sets = ("capabilities", "bucketIds")

    def same(self, name: str, old: Any, new: Any) -> bool:
        # The provider writes each of the two into the state for the other.
        return (name in ("bucketId", "bucketIds") and not new) or super().same(name, old, new)

    @_as_published
    def create(self, inputs: Values, log: Log) -> Values:
        if "bucketId" in inputs and "bucketIds" in inputs:
            raise RuntimeError('"bucket_id": conflicts with bucket_ids')
        ids = inputs.get("bucketIds") or ([inputs["bucketId"]] if "bucketId" in inputs else None)
        made = _api().create_key(
            inputs["capabilities"], inputs["keyName"], inputs.get("validDurationInSeconds"), ids,
            inputs.get("namePrefix"),
        )  # fmt: skip
        return {**self._found(made), "applicationKey": made.application_key}

    @_as_published
    def read(self, state: Values) -> Values | None:
        wanted = state["applicationKeyId"]
        return next((self._found(key) for key in _api().list_keys(wanted) if key.id_ == wanted), None)

    @staticmethod
    def _found(key: Any) -> Values:
        ids = list(key.bucket_ids or [])
        return {
            "applicationKeyId": key.id_, "keyName": key.key_name, "capabilities": list(key.capabilities),
            "bucketIds": ids, "bucketId": ids[0] if ids else "", "namePrefix": key.name_prefix or "",
            "expirationTimestamp": key.expiration_timestamp_millis or 0, "options": sorted(key.options or []),
        }  # fmt: skip

    @_as_published
    def delete(self, state: Values, log: Log) -> None:
        _api().delete_key_by_id(state["applicationKeyId"])

    def id_of(self, name: str, properties: Values) -> str:
        return str(properties["applicationKeyId"])


@_as_published
def get_account_info(arguments: Values) -> Values:
    """`b2:index/getAccountInfo:getAccountInfo`."""
    api = _api()
    info = api.account_info
    return {
        "id": info.get_account_id(), "accountId": info.get_account_id(),
        "accountAuthToken": info.get_account_auth_token(), "apiUrl": info.get_api_url(),
        "downloadUrl": info.get_download_url(), "s3ApiUrl": info.get_s3_api_url(),
        "recommendedPartSize": info.get_recommended_part_size(),
        "absoluteMinimumPartSize": info.get_absolute_minimum_part_size(), "alloweds": [],
    }  # fmt: skip


PROVIDER = Provider(
    "1.4.0",
    {"b2:index/bucket:Bucket": Bucket(), "b2:index/applicationKey:ApplicationKey": ApplicationKey()},
    config=config(),
    configure=configure,
    namespace="b2",
    functions={"b2:index/getAccountInfo:getAccountInfo": get_account_info},
    secret_results=("accountAuthToken",),
    parameterize=parameterize,
)
