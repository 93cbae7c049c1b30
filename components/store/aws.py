"""This module makes a private bucket at AWS S3, and an IAM user that reaches nothing but that bucket."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from ..settings import AwsStore
from . import Store

#: The least rights with which mount, mirror and restore work; a test takes each away in turn.
BUCKET_RIGHTS = ("s3:ListBucket",)
OBJECT_RIGHTS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
#: rclone before 1.61 names an ACL with each upload, the one below, and AWS then wants this right too. As ACLs
#: are disabled in the bucket, nothing can be changed with it.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html
ACL_RIGHT, ACL = "s3:PutObjectAcl", "private"
#: The further rights to empty a bucket that is to be deleted: old versions too.
EMPTY_BUCKET_RIGHTS = ("s3:ListBucketVersions", "s3:ListBucketMultipartUploads")
EMPTY_OBJECT_RIGHTS = ("s3:DeleteObjectVersion",)
#: The rights of synapse-s3-storage-provider, which removes nothing from the bucket.
PROVIDERS_RIGHTS = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload")
#: Replaced and deleted media are kept this long, as at B2 by the manual procedure.
DAYS_OF_OLD_VERSIONS = 1
#: AWS spreads a new key and its policy within seconds, at times a minute.
#: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
KEY_PATIENCE_SECONDS = 180


def arn_of(store: AwsStore) -> str:
    """Return the name by which policies know the bucket of a store.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
    """
    return f"arn:{'aws-cn' if store.region.startswith('cn-') else 'aws'}:s3:::{store.bucket}"


def user_policy(arn: str, *, may_empty: bool, reads: Sequence[str] = ()) -> dict[str, Any]:
    """Return the IAM user's policy: it allows this bucket, and nothing else.

    With `may_empty` it allows to list and delete old versions and unfinished uploads too. The buckets `reads` may be
    read and no more: from these, media move here.
    """
    bucket = [*BUCKET_RIGHTS, *(EMPTY_BUCKET_RIGHTS if may_empty else ())]
    objects = [*OBJECT_RIGHTS, *(EMPTY_OBJECT_RIGHTS if may_empty else ())]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "Bucket", "Effect": "Allow", "Action": bucket, "Resource": arn},
            {"Sid": "Media", "Effect": "Allow", "Action": objects, "Resource": f"{arn}/*"},
            {
                "Sid": "Acl",
                "Effect": "Allow",
                "Action": [ACL_RIGHT],
                "Resource": f"{arn}/*",
                "Condition": {"StringEquals": {"s3:x-amz-acl": ACL}},
            },
            *[
                {"Sid": f"Earlier{number}", "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": f"{each}/*"}
                for number, each in enumerate(reads)
            ],
        ],
    }


def provider_policy(arn: str) -> dict[str, Any]:
    """Return the policy of synapse-s3-storage-provider's own user: it reads and writes in this bucket, no more."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "Bucket", "Effect": "Allow", "Action": [*BUCKET_RIGHTS], "Resource": arn},
            {"Sid": "Media", "Effect": "Allow", "Action": [*PROVIDERS_RIGHTS], "Resource": f"{arn}/*"},
        ],
    }


def tls_only(arn: str) -> dict[str, Any]:
    """Return the bucket's policy: whoever asks, nothing is allowed without TLS.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/security-best-practices.html
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [arn, f"{arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }


class AwsBucket(pulumi.ComponentResource):
    """An `AwsBucket` is the bucket with its settings, and the user with its key."""

    store: Store

    def __init__(
        self,
        name: str,
        *,
        settings: AwsStore,
        reads: Sequence[AwsStore] = (),
        to_provider: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("matrix-media-store:store:AwsBucket", name, None, opts)
        bucket, bucket_settings = self._bucket(name, settings)
        user = aws.iam.User(
            f"{name}-user",
            path="/matrix-media-store/",
            tags=settings.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        policy = aws.iam.UserPolicy(
            f"{name}-user-policy",
            name="media-store",
            user=user.name,
            policy=bucket.arn.apply(
                lambda arn: json.dumps(
                    user_policy(arn, may_empty=settings.on_destroy == "delete", reads=[*map(arn_of, reads)])
                )
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        # Named by its generation: the new key is made before the server moves, the old one goes last.
        key = aws.iam.AccessKey(
            f"{name}-key-{settings.key_generation}", user=user.name, opts=pulumi.ResourceOptions(parent=self)
        )
        self.store = Store(
            endpoint=settings.endpoint_used,
            region=settings.region,
            bucket=settings.bucket,
            access_key_id=pulumi.Output.secret(key.id),
            secret_access_key=pulumi.Output.secret(key.secret),
            adopt=settings.adopt,
            prefix=settings.prefix,
            rclone_provider="AWS",
            ready=(bucket, *bucket_settings, user, policy, key),
            sse_customer_key=pulumi.Output.secret(settings.sse_customer_key.get_secret_value()),
            storage_class=settings.storage_class,
            key_patience=KEY_PATIENCE_SECONDS,
            provider_key=self._provider_key(name, settings, bucket) if to_provider else None,
            shown={"bucketArn": bucket.arn, "bucketUser": user.name},
            empty_on_destroy=settings.on_destroy == "delete",
        )
        self.register_outputs({"endpoint": self.store.endpoint, "bucket": bucket.bucket})

    def _provider_key(
        self, name: str, settings: AwsStore, bucket: aws.s3.Bucket
    ) -> tuple[pulumi.Input[str], pulumi.Input[str]]:
        """Make a user with a key for synapse-s3-storage-provider, which serves from here once the stack is gone."""
        opts = pulumi.ResourceOptions(parent=self, retain_on_delete=True)
        user = aws.iam.User(f"{name}-provider", path="/matrix-media-store/", tags=settings.tags, opts=opts)
        aws.iam.UserPolicy(
            f"{name}-provider-policy",
            name="storage-provider",
            user=user.name,
            policy=bucket.arn.apply(lambda arn: json.dumps(provider_policy(arn))),
            opts=opts,
        )
        key = aws.iam.AccessKey(f"{name}-provider-key", user=user.name, opts=opts)
        return pulumi.Output.secret(key.id), pulumi.Output.secret(key.secret)

    def _bucket(self, name: str, settings: AwsStore) -> tuple[aws.s3.Bucket, list[pulumi.Resource]]:
        """Make the bucket, and what makes it private, encrypted and tidy; return it, and what a server waits for."""
        retain = settings.on_destroy == "retain"
        bucket = aws.s3.Bucket(
            name,
            bucket=settings.bucket,
            tags=settings.tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                retain_on_delete=retain,
                protect=settings.protect or None,  # else what the caller of a component says holds
                # One that an earlier stack left here is taken back; to create it would be refused.
                import_=settings.bucket if settings.adopt else None,
            ),
        )

        def opts(*after: pulumi.Resource) -> pulumi.ResourceOptions:
            return pulumi.ResourceOptions(parent=self, retain_on_delete=retain, depends_on=[bucket, *after])

        access = aws.s3.BucketPublicAccessBlock(
            f"{name}-public-access",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=opts(),
        )
        ownership = aws.s3.BucketOwnershipControls(
            f"{name}-ownership",
            bucket=bucket.id,
            rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=opts(access),  # S3 takes one change of a bucket's access at a time
        )
        policy = aws.s3.BucketPolicy(
            f"{name}-policy",
            bucket=bucket.id,
            policy=bucket.arn.apply(lambda arn: json.dumps(tls_only(arn))),
            opts=opts(access, ownership),
        )
        customer_keys = bool(settings.sse_customer_key.get_secret_value())
        encryption = aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=bucket.id,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                        sse_algorithm="AES256"
                    ),
                    # New buckets refuse customer keys unless this is said.
                    blocked_encryption_types=["NONE" if customer_keys else "SSE-C"],
                )
            ],
            opts=opts(),
        )
        versioning = aws.s3.BucketVersioning(
            f"{name}-versioning",
            bucket=bucket.id,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=opts(),
        )
        # Nobody waits for it: the provider takes about a minute until it sees it.
        aws.s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            bucket=bucket.id,
            rules=[_lifecycle_rule()],
            opts=opts(versioning),
        )
        if settings.access_logs:
            target, _, prefix = settings.access_logs.partition("/")
            aws.s3.BucketLogging(
                f"{name}-logging",
                bucket=bucket.id,
                target_bucket=target,
                target_prefix=prefix,
                # Not retained as the others are: where the setting goes, so do the logs.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[bucket]),
            )
        return bucket, [access, ownership, policy, encryption, versioning]


def _lifecycle_rule() -> aws.s3.BucketLifecycleConfigurationRuleArgs:
    """Return the rule by which old versions, delete markers and unfinished uploads go after a day, and media never."""
    return aws.s3.BucketLifecycleConfigurationRuleArgs(
        id="old-versions",
        status="Enabled",
        filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
        noncurrent_version_expiration=aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
            noncurrent_days=DAYS_OF_OLD_VERSIONS
        ),
        expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(expired_object_delete_marker=True),
        abort_incomplete_multipart_upload=aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
            days_after_initiation=DAYS_OF_OLD_VERSIONS
        ),
    )
