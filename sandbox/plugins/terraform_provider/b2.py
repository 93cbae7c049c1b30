"""The resources of backblaze/b2 that the program uses: real calls with b2sdk, as the provider makes them."""

from __future__ import annotations

import json
import os
from typing import Any

from b2sdk.v3 import B2Api, InMemoryAccountInfo

from ..checking import Values
from ..resource import Log, Provider, Resource
from .schema import SCHEMA, config, inputs_of

#: What the parameter may ask for here.
NAMES = ("registry.opentofu.org/backblaze/b2", "registry.terraform.io/backblaze/b2", "backblaze/b2")
_CONFIG: Values = {}


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


class Bucket(Resource):
    """`b2:index/bucket:Bucket`. Deleting one that is not empty fails."""

    inputs = inputs_of("b2:index/bucket:Bucket", ("bucketName",))
    outputs = ("bucketId", "b2BucketId", "accountId", "options", "revision")
    stable_outputs = ("bucketId", "b2BucketId", "accountId", "options")

    def _arguments(self, inputs: Values) -> Values:
        if set(inputs) - {"bucketName", "bucketType", "bucketInfo", "lifecycleRules", "__defaults"}:
            raise RuntimeError("the stand-in takes no more of a bucket than name, type, info and lifecycle rules")
        rules = [
            {name: value if name == "fileNamePrefix" else value or None for name, value in rule.items()}
            for rule in inputs.get("lifecycleRules") or []
        ]
        return {"bucket_info": inputs.get("bucketInfo") or {}, "lifecycle_rules": rules}

    @staticmethod
    def _outputs(bucket: Any) -> Values:
        found = bucket.as_dict()
        return {
            "bucketId": bucket.id_, "b2BucketId": bucket.id_, "accountId": found["accountId"],
            "options": sorted(found["options"]), "revision": found["revision"],
        }  # fmt: skip

    def create(self, inputs: Values, log: Log) -> Values:
        made = _api().create_bucket(inputs["bucketName"], inputs["bucketType"], **self._arguments(inputs))
        return self._outputs(made)

    def update(self, state: Values, inputs: Values, log: Log) -> Values:
        bucket = _api().get_bucket_by_id(state["bucketId"])
        return self._outputs(bucket.update(bucket_type=inputs["bucketType"], **self._arguments(inputs)))

    def delete(self, state: Values, log: Log) -> None:
        api = _api()
        api.delete_bucket(api.get_bucket_by_id(state["bucketId"]))

    def id_of(self, name: str, properties: Values) -> str:
        return str(properties["bucketId"])


class ApplicationKey(Resource):
    """`b2:index/applicationKey:ApplicationKey`; every change replaces."""

    inputs = inputs_of("b2:index/applicationKey:ApplicationKey")
    outputs = ("applicationKey", "applicationKeyId", "expirationTimestamp", "options")
    secret_outputs = ("applicationKey",)

    def create(self, inputs: Values, log: Log) -> Values:
        if "bucketId" in inputs and "bucketIds" in inputs:
            raise RuntimeError('"bucket_id": conflicts with bucket_ids')
        ids = inputs.get("bucketIds") or ([inputs["bucketId"]] if "bucketId" in inputs else None)
        made = _api().create_key(inputs["capabilities"], inputs["keyName"], bucket_ids=ids)
        return {
            "applicationKey": made.application_key, "applicationKeyId": made.id_, "expirationTimestamp": 0,
            "options": [],
        }  # fmt: skip

    def delete(self, state: Values, log: Log) -> None:
        _api().delete_key_by_id(state["applicationKeyId"])

    def id_of(self, name: str, properties: Values) -> str:
        return str(properties["applicationKeyId"])


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
    functions={"b2:index/getAccountInfo:getAccountInfo": get_account_info},
    secret_results=("accountAuthToken",),
    parameterize=parameterize,
)
