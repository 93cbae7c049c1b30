"""This module has the bucket, its region and its tags.

terraform-provider-aws, internal/service/s3/bucket.go and tags.go; pulumi-aws, provider/region.go and provider/tags.go.
"""

from __future__ import annotations

from typing import Any

import pulumi_aws as aws
from botocore.exceptions import ClientError

from ..bridged import BridgedResource
from ..checking import Values
from ..resource import Log
from ..values import UNKNOWN, has_unknown, plain
from .account import account, as_list, as_map, code_of
from .schema import inputs_of

#: What S3 says of a bucket that is not there: the second is all that fits a HEAD.
GONE = ("NoSuchBucket", "404")


class AwsResource(BridgedResource):
    """An `AwsResource` has what the provider puts into all inputs: the region, and the tags with its own."""

    computed: tuple[str, ...] = ("region",)

    def fill(self, inputs: Values) -> Values:
        filled = dict(inputs)
        region = account().configured_region
        if "region" in self.inputs and region and inputs.get("region") is None:
            filled["region"] = region
        if "tagsAll" in self.inputs:
            tags = plain(inputs.get("tags")) or {}
            filled["tagsAll"] = UNKNOWN if has_unknown(tags) else account().tags_all(tags)
        return filled


class Bucket(AwsResource):
    """`aws:s3/bucket:Bucket`. Deleting one that is not empty fails."""

    inputs = inputs_of(aws.s3.Bucket, ("bucket", "bucketPrefix", "objectLockEnabled"))
    outputs = ("arn", "region", "bucketDomainName", "bucketRegionalDomainName", "tagsAll")
    stable_outputs = ("arn", "region", "bucketDomainName", "bucketRegionalDomainName")
    autonamed = "bucket"

    def create(self, inputs: Values, log: Log) -> Values:
        if set(inputs) - {"bucket", "tags", "tagsAll", "forceDestroy", "region", "__defaults"}:
            raise RuntimeError("the stand-in takes no more of a bucket than name, region, tags and forceDestroy")
        s3 = self._s3(inputs)
        region, tags = s3.meta.region_name, inputs["tagsAll"]
        where: Values = {} if region == "us-east-1" else {"LocationConstraint": region}
        if tags:
            where["Tags"] = as_list(tags)
        s3.create_bucket(Bucket=inputs["bucket"], **({"CreateBucketConfiguration": where} if where else {}))
        return self._found({**inputs, "region": region})

    def update(self, state: Values, inputs: Values, log: Log) -> Values:
        old, new = state.get("tagsAll") or {}, inputs["tagsAll"]
        if old != new:
            self._tag(state, old, new)
        return self._found({**inputs, "region": state["region"]})

    def imported(self, id: str) -> Values:
        """Return what is known of a bucket by its name alone."""
        return {"bucket": id, "region": account().configured_region}

    def read(self, state: Values) -> Values | None:
        try:
            self._s3(state).head_bucket(Bucket=state["bucket"])
        except ClientError as error:
            if code_of(error) in GONE:
                return None
            raise
        return self._found(state)

    def delete(self, state: Values, log: Log) -> None:
        try:
            self._s3(state).delete_bucket(Bucket=state["bucket"])
        except ClientError as error:
            if code_of(error) not in GONE:
                raise

    def id_of(self, name: str, properties: Values) -> str:
        return str(properties["bucket"])

    @staticmethod
    def _s3(values: Values) -> Any:
        return account().client("s3", values.get("region"))

    def _found(self, values: Values) -> Values:
        name, region, found = values["bucket"], values["region"], account().heeded(self._tags(values))
        return {
            "arn": _arn(name), "bucket": name, "region": region, "bucketDomainName": f"{name}.s3.amazonaws.com",
            "bucketRegionalDomainName": f"{name}.s3.{region}.amazonaws.com", "tagsAll": found,
            "tags": account().own_tags(found, values.get("tags") or {}),
        }  # fmt: skip

    # The published provider goes through S3 Control, whose address is made of the account's id, where it knows that.

    def _tags(self, values: Values) -> dict[str, str]:
        if account().id:
            answer = self._control(values).list_tags_for_resource(**_tagged(values))
            return as_map(answer["Tags"])
        try:
            return as_map(self._s3(values).get_bucket_tagging(Bucket=values["bucket"])["TagSet"])
        except ClientError as error:
            if code_of(error) == "NoSuchTagSet":
                return {}
            raise

    def _tag(self, values: Values, old: dict[str, str], new: dict[str, str]) -> None:
        if account().id:
            control, tagged = self._control(values), _tagged(values)
            if gone := [name for name in old if name not in new]:
                control.untag_resource(**tagged, TagKeys=gone)
            if new:
                control.tag_resource(**tagged, Tags=as_list(new))
            return
        found = self._tags(values)
        kept = {name: value for name, value in found.items() if name not in old} | new
        if kept:
            self._s3(values).put_bucket_tagging(Bucket=values["bucket"], Tagging={"TagSet": as_list(kept)})
        else:
            self._s3(values).delete_bucket_tagging(Bucket=values["bucket"])

    @staticmethod
    def _control(values: Values) -> Any:
        return account().client("s3control", values.get("region"))


def _tagged(values: Values) -> Values:
    return {"AccountId": account().id, "ResourceArn": _arn(values["bucket"])}


def _arn(name: str) -> str:
    return f"arn:aws:s3:::{name}"
