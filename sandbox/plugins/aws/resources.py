"""The plugin's resources: real calls with boto3, wherever the environment sends them."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pulumi_aws as aws
from botocore.config import Config

from ..checking import Property, Values
from ..resource import Log, Provider, Resource
from .schema import inputs_of

#: The provider's configuration, as far as the stand-in knows it.
CONFIG = {name: Property(str) for name in ("region", "accessKey", "secretKey", "token", "profile")}
_ACCOUNT: dict[str, Any] = {}


def configure(config: Values) -> None:
    """As the published provider: no region, or no credentials, is an error before the first resource."""
    session = boto3.Session(
        aws_access_key_id=config.get("accessKey"), aws_secret_access_key=config.get("secretKey"),
        aws_session_token=config.get("token"), profile_name=config.get("profile"), region_name=config.get("region"),
    )  # fmt: skip
    if session.region_name is None:
        raise RuntimeError("Missing region configuration: `pulumi config set aws:region us-west-2`")
    if session.get_credentials() is None:
        raise RuntimeError("No valid credential sources found")
    _ACCOUNT["session"] = session


def _client(service: str) -> Any:
    return _ACCOUNT["session"].client(service, config=Config(s3={"addressing_style": "path"}))


class Bucket(Resource):
    """`aws:s3/bucket:Bucket`. Deleting one that is not empty fails, without forceDestroy."""

    inputs = inputs_of(aws.s3.Bucket, ("bucket", "bucketPrefix", "objectLockEnabled", "region"))
    outputs = ("arn", "region", "bucketDomainName", "bucketRegionalDomainName", "tagsAll")
    stable_outputs = ("arn", "region", "bucketDomainName", "bucketRegionalDomainName")
    autonamed = "bucket"

    def create(self, inputs: Values, log: Log) -> Values:
        if set(inputs) - {"bucket", "tags", "forceDestroy", "__defaults"}:
            raise RuntimeError("the stand-in takes no more of a bucket than name, tags and forceDestroy")
        s3, name = _client("s3"), inputs["bucket"]
        region = s3.meta.region_name
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=name, **where)
        return self._outputs(inputs, region)

    def _outputs(self, inputs: Values, region: str) -> Values:
        name, tags = inputs["bucket"], inputs.get("tags") or {}
        s3 = _client("s3")
        if tags:
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in tags.items()]})
        return {
            "arn": f"arn:aws:s3:::{name}",
            "region": region,
            "bucketDomainName": f"{name}.s3.amazonaws.com",
            "bucketRegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
            "tagsAll": tags,
        }

    def update(self, state: Values, inputs: Values, log: Log) -> Values:
        if not inputs.get("tags"):
            _client("s3").delete_bucket_tagging(Bucket=inputs["bucket"])
        return self._outputs(inputs, state["region"])

    def delete(self, state: Values, log: Log) -> None:
        _client("s3").delete_bucket(Bucket=state["bucket"])

    def id_of(self, name: str, properties: Values) -> str:
        return str(properties["bucket"])


class BucketSetting(Resource):
    """What is set on a bucket by one call and taken away by another; its id is the bucket's name."""

    def __init__(self, resource: type, put: str, delete: str, **more: Any) -> None:
        self.inputs = inputs_of(resource, ("bucket", "region"), more.get("choices"))
        self._put, self._delete = put, delete

    def body(self, inputs: Values) -> Values:
        """The call's arguments."""
        raise NotImplementedError

    def create(self, inputs: Values, log: Log) -> Values:
        getattr(_client("s3"), self._put)(Bucket=inputs["bucket"], **self.body(inputs))
        return {}

    def update(self, state: Values, inputs: Values, log: Log) -> Values:
        return self.create(inputs, log)

    def delete(self, state: Values, log: Log) -> None:
        getattr(_client("s3"), self._delete)(Bucket=state["bucket"])

    def id_of(self, name: str, properties: Values) -> str:
        return str(properties["bucket"])


class PublicAccessBlock(BucketSetting):
    """`aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock`."""

    def body(self, inputs: Values) -> Values:
        names = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        return {
            "PublicAccessBlockConfiguration": {name[0].upper() + name[1:]: bool(inputs.get(name)) for name in names}
        }


class OwnershipControls(BucketSetting):
    """`aws:s3/bucketOwnershipControls:BucketOwnershipControls`."""

    def body(self, inputs: Values) -> Values:
        return {"OwnershipControls": {"Rules": [{"ObjectOwnership": inputs["rule"]["objectOwnership"]}]}}


class BucketPolicy(BucketSetting):
    """`aws:s3/bucketPolicy:BucketPolicy`."""

    def body(self, inputs: Values) -> Values:
        json.loads(inputs["policy"])
        return {"Policy": inputs["policy"]}


class Encryption(BucketSetting):
    """`aws:s3/bucketServerSideEncryptionConfiguration:…`."""

    def body(self, inputs: Values) -> Values:
        return {"ServerSideEncryptionConfiguration": {"Rules": [self._rule(rule) for rule in inputs["rules"]]}}

    @staticmethod
    def _rule(rule: Values) -> Values:
        made: Values = {}
        if "applyServerSideEncryptionByDefault" in rule:
            by_default = rule["applyServerSideEncryptionByDefault"]
            made["ApplyServerSideEncryptionByDefault"] = {"SSEAlgorithm": by_default["sseAlgorithm"]}
        if rule.get("blockedEncryptionTypes"):
            made["BlockedEncryptionTypes"] = {"EncryptionType": rule["blockedEncryptionTypes"]}
        return made


class Versioning(BucketSetting):
    """`aws:s3/bucketVersioning:BucketVersioning`; to delete it is to suspend versioning."""

    def body(self, inputs: Values) -> Values:
        return {"VersioningConfiguration": {"Status": inputs["versioningConfiguration"]["status"]}}

    def delete(self, state: Values, log: Log) -> None:
        _client("s3").put_bucket_versioning(Bucket=state["bucket"], VersioningConfiguration={"Status": "Suspended"})


class Lifecycle(BucketSetting):
    """`aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration`."""

    def body(self, inputs: Values) -> Values:
        return {"LifecycleConfiguration": {"Rules": [self._rule(rule) for rule in inputs["rules"]]}}

    @staticmethod
    def _rule(rule: Values) -> Values:
        made: Values = {"ID": rule["id"], "Status": rule["status"], "Filter": {"Prefix": rule["filter"]["prefix"]}}
        if "noncurrentVersionExpiration" in rule:
            days = rule["noncurrentVersionExpiration"]["noncurrentDays"]
            made["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
        if "expiration" in rule:
            expiration = rule["expiration"]
            if expiration.get("expiredObjectDeleteMarker") and {"days", "date"} & set(expiration):
                raise RuntimeError("expiredObjectDeleteMarker cannot be specified with days or date")
            names = {"expiredObjectDeleteMarker": "ExpiredObjectDeleteMarker", "days": "Days"}
            made["Expiration"] = {names[name]: value for name, value in expiration.items()}
        if "abortIncompleteMultipartUpload" in rule:
            days = rule["abortIncompleteMultipartUpload"]["daysAfterInitiation"]
            made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
        return made


class User(Resource):
    """`aws:iam/user:User`. Deleting one with keys or policies left fails, without forceDestroy."""

    inputs = inputs_of(aws.iam.User)
    outputs = ("arn", "uniqueId", "tagsAll")
    stable_outputs = ("arn", "uniqueId")
    autonamed = "name"

    def create(self, inputs: Values, log: Log) -> Values:
        tags = inputs.get("tags") or {}
        user = _client("iam").create_user(
            UserName=inputs["name"], Path=inputs.get("path", "/"),
            **({"Tags": [{"Key": k, "Value": v} for k, v in tags.items()]} if tags else {}),
        )["User"]  # fmt: skip
        return {"arn": user["Arn"], "uniqueId": user["UserId"], "tagsAll": tags}

    def update(self, state: Values, inputs: Values, log: Log) -> Values:
        iam, old, new = _client("iam"), state.get("tags") or {}, inputs.get("tags") or {}
        if gone := [name for name in old if name not in new]:
            iam.untag_user(UserName=inputs["name"], TagKeys=gone)
        if new:
            iam.tag_user(UserName=inputs["name"], Tags=[{"Key": k, "Value": v} for k, v in new.items()])
        return {"arn": state["arn"], "uniqueId": state["uniqueId"], "tagsAll": new}

    def delete(self, state: Values, log: Log) -> None:
        _client("iam").delete_user(UserName=state["name"])

    def id_of(self, name: str, properties: Values) -> str:
        return str(properties["name"])


class UserPolicy(Resource):
    """`aws:iam/userPolicy:UserPolicy`."""

    inputs = inputs_of(aws.iam.UserPolicy, ("name", "namePrefix", "user"))
    autonamed = "name"

    def create(self, inputs: Values, log: Log) -> Values:
        json.loads(inputs["policy"])
        _client("iam").put_user_policy(
            UserName=inputs["user"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"]
        )
        return {}

    def update(self, state: Values, inputs: Values, log: Log) -> Values:
        return self.create(inputs, log)

    def delete(self, state: Values, log: Log) -> None:
        _client("iam").delete_user_policy(UserName=state["user"], PolicyName=state["name"])

    def id_of(self, name: str, properties: Values) -> str:
        return f"{properties['user']}:{properties['name']}"


class AccessKey(Resource):
    """`aws:iam/accessKey:AccessKey`; its id is the access key id."""

    inputs = inputs_of(aws.iam.AccessKey, ("user", "pgpKey"), {"status": ("Active", "Inactive")})
    outputs = ("secret", "createDate", "sesSmtpPasswordV4", "accessKeyId")
    secret_outputs = ("secret", "sesSmtpPasswordV4")

    def create(self, inputs: Values, log: Log) -> Values:
        key = _client("iam").create_access_key(UserName=inputs["user"])["AccessKey"]
        return {
            "secret": key["SecretAccessKey"],
            "createDate": key["CreateDate"].isoformat(),
            "sesSmtpPasswordV4": "not made by the stand-in",
            "accessKeyId": key["AccessKeyId"],
        }

    def delete(self, state: Values, log: Log) -> None:
        _client("iam").delete_access_key(UserName=state["user"], AccessKeyId=state["accessKeyId"])

    def id_of(self, name: str, properties: Values) -> str:
        return str(properties["accessKeyId"])


_STATUS = ("Enabled", "Disabled")
_OWNERSHIP = ("BucketOwnerPreferred", "ObjectWriter", "BucketOwnerEnforced")

PROVIDER = Provider(
    "7.51.1",
    {
        "aws:s3/bucket:Bucket": Bucket(),
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": PublicAccessBlock(
            aws.s3.BucketPublicAccessBlock, "put_public_access_block", "delete_public_access_block"
        ),
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls": OwnershipControls(
            aws.s3.BucketOwnershipControls, "put_bucket_ownership_controls", "delete_bucket_ownership_controls",
            choices={"rule.objectOwnership": _OWNERSHIP},
        ),
        "aws:s3/bucketPolicy:BucketPolicy": BucketPolicy(
            aws.s3.BucketPolicy, "put_bucket_policy", "delete_bucket_policy"
        ),
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": Encryption(
            aws.s3.BucketServerSideEncryptionConfiguration, "put_bucket_encryption", "delete_bucket_encryption",
            choices={"rules.applyServerSideEncryptionByDefault.sseAlgorithm": ("AES256", "aws:kms", "aws:kms:dsse")},
        ),
        "aws:s3/bucketVersioning:BucketVersioning": Versioning(
            aws.s3.BucketVersioning, "put_bucket_versioning", "",
            choices={"versioningConfiguration.status": (*_STATUS, "Suspended")},
        ),
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": Lifecycle(
            aws.s3.BucketLifecycleConfiguration, "put_bucket_lifecycle_configuration", "delete_bucket_lifecycle",
            choices={"rules.status": _STATUS},
        ),
        "aws:iam/user:User": User(),
        "aws:iam/userPolicy:UserPolicy": UserPolicy(),
        "aws:iam/accessKey:AccessKey": AccessKey(),
    },
    config=CONFIG,
    configure=configure,
)  # fmt: skip
