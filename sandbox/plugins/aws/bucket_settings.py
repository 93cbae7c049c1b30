"""This module has what is set on a bucket by resources of their own.

terraform-provider-aws, internal/service/s3/bucket_*.go.
"""

from __future__ import annotations

import json
import os
import time
from abc import abstractmethod
from typing import Any

import pulumi_aws as aws
from botocore.exceptions import ClientError

from ..bridged import equivalent
from ..checking import Values
from ..resource import Log
from .account import account, code_of
from .bucket import GONE, AwsResource
from .schema import inputs_of

#: How long each lifecycle takes to be made or changed. The published provider looks every 5 seconds after the first
#: 10 until it has seen the same ten times, 55 seconds in all; without this variable the stand-in does not wait.
LIFECYCLE_SECONDS = "STAND_IN_LIFECYCLE_SECONDS"


class BucketSetting(AwsResource):
    """A `BucketSetting` is set by one call and taken away by another; its id is the bucket's name."""

    #: The calls that set it, read it and take it away.
    put: str
    get: str
    drop: str
    #: What S3 says of a bucket that has none.
    none: str = ""

    @abstractmethod
    def body(self, inputs: Values) -> Values:
        """Return the arguments of the call that sets it."""

    @abstractmethod
    def found(self, answer: Values, state: Values) -> Values:
        """Return the values that an answer of S3 is to the program."""

    def _call(self, name: str, values: Values, **arguments: Any) -> Values:
        client = account().client("s3", values.get("region"))
        answer: Values = getattr(client, name)(Bucket=values["bucket"], **arguments)
        return answer

    def create(self, inputs: Values, log: Log) -> Values:
        self._call(self.put, inputs, **self.body(inputs))
        return {"region": inputs.get("region") or account().region, **(self.read(inputs) or {})}

    def update(self, state: Values, inputs: Values, log: Log) -> Values:
        return self.create(inputs, log)

    def read(self, state: Values) -> Values | None:
        try:
            answer = self._call(self.get, state)
        except ClientError as error:
            if code_of(error) in (*GONE, self.none):
                return None
            raise
        return {"bucket": state["bucket"], **self.found(answer, state)}

    def delete(self, state: Values, log: Log) -> None:
        try:
            self._call(self.drop, state)
        except ClientError as error:
            if code_of(error) not in (*GONE, self.none):
                raise

    def id_of(self, name: str, properties: Values) -> str:
        return str(properties["bucket"])


class PublicAccessBlock(BucketSetting):
    """`aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock`."""

    inputs = inputs_of(aws.s3.BucketPublicAccessBlock, ("bucket",))
    put, get, drop = "put_public_access_block", "get_public_access_block", "delete_public_access_block"
    none = "NoSuchPublicAccessBlockConfiguration"
    names = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")

    def body(self, inputs: Values) -> Values:
        return {"PublicAccessBlockConfiguration": {_theirs(name): bool(inputs.get(name)) for name in self.names}}

    def found(self, answer: Values, state: Values) -> Values:
        configuration = answer["PublicAccessBlockConfiguration"]
        return {name: bool(configuration.get(_theirs(name))) for name in self.names}


class OwnershipControls(BucketSetting):
    """`aws:s3/bucketOwnershipControls:BucketOwnershipControls`."""

    inputs = inputs_of(
        aws.s3.BucketOwnershipControls, ("bucket",),
        {"rule.objectOwnership": ("BucketOwnerPreferred", "ObjectWriter", "BucketOwnerEnforced")},
    )  # fmt: skip
    put, get = "put_bucket_ownership_controls", "get_bucket_ownership_controls"
    drop, none = "delete_bucket_ownership_controls", "OwnershipControlsNotFoundError"

    def body(self, inputs: Values) -> Values:
        return {"OwnershipControls": {"Rules": [{"ObjectOwnership": inputs["rule"]["objectOwnership"]}]}}

    def found(self, answer: Values, state: Values) -> Values:
        return {"rule": _ours(answer["OwnershipControls"]["Rules"][0])}


class BucketPolicy(BucketSetting):
    """`aws:s3/bucketPolicy:BucketPolicy`."""

    inputs = inputs_of(aws.s3.BucketPolicy, ("bucket",))
    documents = ("policy",)
    put, get, drop, none = "put_bucket_policy", "get_bucket_policy", "delete_bucket_policy", "NoSuchBucketPolicy"

    def body(self, inputs: Values) -> Values:
        json.loads(inputs["policy"])
        return {"Policy": inputs["policy"]}

    def found(self, answer: Values, state: Values) -> Values:
        policy = answer["Policy"]
        return {"policy": state["policy"] if equivalent(state["policy"], policy) else policy}


class Encryption(BucketSetting):
    """`aws:s3/bucketServerSideEncryptionConfiguration:…`."""

    inputs = inputs_of(
        aws.s3.BucketServerSideEncryptionConfiguration, ("bucket", "expectedBucketOwner"),
        {"rules.applyServerSideEncryptionByDefault.sseAlgorithm": ("AES256", "aws:kms", "aws:kms:dsse")},
    )  # fmt: skip
    put, get, drop = "put_bucket_encryption", "get_bucket_encryption", "delete_bucket_encryption"
    none = "ServerSideEncryptionConfigurationNotFoundError"
    #: By default; S3's names and the program's.
    names = (("SSEAlgorithm", "sseAlgorithm"), ("KMSMasterKeyID", "kmsMasterKeyId"))

    def body(self, inputs: Values) -> Values:
        return {"ServerSideEncryptionConfiguration": {"Rules": [self._rule(rule) for rule in inputs["rules"]]}}

    def _rule(self, rule: Values) -> Values:
        made: Values = {}
        if by_default := rule.get("applyServerSideEncryptionByDefault"):
            given = {theirs: by_default[ours] for theirs, ours in self.names if by_default.get(ours)}
            made["ApplyServerSideEncryptionByDefault"] = given
        if rule.get("bucketKeyEnabled"):
            made["BucketKeyEnabled"] = True
        if rule.get("blockedEncryptionTypes"):
            made["BlockedEncryptionTypes"] = {"EncryptionType": rule["blockedEncryptionTypes"]}
        return made

    def found(self, answer: Values, state: Values) -> Values:
        rules = []
        for rule in answer["ServerSideEncryptionConfiguration"]["Rules"]:
            by_default = rule.get("ApplyServerSideEncryptionByDefault") or {}
            made: Values = {
                "applyServerSideEncryptionByDefault": {
                    ours: by_default[theirs] for theirs, ours in self.names if theirs in by_default
                },
                "bucketKeyEnabled": rule.get("BucketKeyEnabled", False),
                "blockedEncryptionTypes": (rule.get("BlockedEncryptionTypes") or {}).get("EncryptionType") or [],
            }
            rules.append(made)
        return {"rules": rules}


class Versioning(BucketSetting):
    """`aws:s3/bucketVersioning:BucketVersioning`; to delete it is to suspend versioning."""

    inputs = inputs_of(
        aws.s3.BucketVersioning, ("bucket", "expectedBucketOwner"),
        {"versioningConfiguration.status": ("Enabled", "Disabled", "Suspended")},
    )  # fmt: skip
    put, get = "put_bucket_versioning", "get_bucket_versioning"

    def body(self, inputs: Values) -> Values:
        return {"VersioningConfiguration": {"Status": inputs["versioningConfiguration"]["status"]}}

    def found(self, answer: Values, state: Values) -> Values:
        return {"versioningConfiguration": {"status": answer.get("Status") or "Disabled"}}

    def delete(self, state: Values, log: Log) -> None:
        try:
            self._call(self.put, state, VersioningConfiguration={"Status": "Suspended"})
        except ClientError as error:
            if code_of(error) not in GONE:
                raise


class Logging(BucketSetting):
    """`aws:s3/bucketLogging:BucketLogging`; to delete it is to set nothing."""

    inputs = inputs_of(aws.s3.BucketLogging, ("bucket", "expectedBucketOwner"))
    put, get = "put_bucket_logging", "get_bucket_logging"

    def body(self, inputs: Values) -> Values:
        enabled = {"TargetBucket": inputs["targetBucket"], "TargetPrefix": inputs["targetPrefix"]}
        return {"BucketLoggingStatus": {"LoggingEnabled": enabled}}

    def read(self, state: Values) -> Values | None:
        found = super().read(state)
        return found if found and found["targetBucket"] else None

    def found(self, answer: Values, state: Values) -> Values:
        enabled = answer.get("LoggingEnabled") or {}
        return {"targetBucket": enabled.get("TargetBucket", ""), "targetPrefix": enabled.get("TargetPrefix", "")}

    def delete(self, state: Values, log: Log) -> None:
        try:
            self._call(self.put, state, BucketLoggingStatus={})
        except ClientError as error:
            if code_of(error) not in GONE:
                raise


class Lifecycle(BucketSetting):
    """`aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration`."""

    inputs = inputs_of(
        aws.s3.BucketLifecycleConfiguration, ("bucket", "expectedBucketOwner"),
        {"rules.status": ("Enabled", "Disabled")},
    )  # fmt: skip
    computed = (*AwsResource.computed, "transitionDefaultMinimumObjectSize")
    put, get = "put_bucket_lifecycle_configuration", "get_bucket_lifecycle_configuration"
    drop, none = "delete_bucket_lifecycle", "NoSuchLifecycleConfiguration"

    def create(self, inputs: Values, log: Log) -> Values:
        outputs = super().create(inputs, log)
        time.sleep(float(os.environ.get(LIFECYCLE_SECONDS) or 0))
        return outputs

    def body(self, inputs: Values) -> Values:
        for rule in inputs["rules"]:
            expiration = rule.get("expiration") or {}
            if expiration.get("expiredObjectDeleteMarker") and {"days", "date"} & set(expiration):
                raise RuntimeError("expiredObjectDeleteMarker cannot be specified with days or date")
        rules = [rule if {"filter", "prefix"} & set(rule) else {**rule, "filter": {}} for rule in inputs["rules"]]
        return {"LifecycleConfiguration": {"Rules": [_rule(rule) for rule in rules]}}

    def found(self, answer: Values, state: Values) -> Values:
        return {"rules": _ours(answer["Rules"])}


def _rule(value: Any) -> Any:
    """Return a rule with S3's names."""
    if isinstance(value, dict):
        return {"ID" if name == "id" else _theirs(name): _rule(item) for name, item in value.items()}
    return [_rule(item) for item in value] if isinstance(value, list) else value


def _theirs(name: str) -> str:
    return name[0].upper() + name[1:]


def _ours(value: Any) -> Any:
    """Return an answer of S3 with the program's names."""
    if isinstance(value, dict):
        return {"id" if name == "ID" else name[0].lower() + name[1:]: _ours(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_ours(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
