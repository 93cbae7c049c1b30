"""AWS in the sandbox: moto for IAM and for a bucket's settings, MinIO for the objects, kept in step.

The engine's plugin talks to the gateway here, the server to MinIO alone, which enforces what IAM says.
"""

from __future__ import annotations

import sys
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from .. import process, store
from ..world import HOST_ADDRESS, ROOT, tell

PORT = 9010
ENDPOINT = f"http://{HOST_ADDRESS}:{PORT}"
REGION = "eu-central-1"
PROCESS = "aws"
#: The account's administrator, as the engine knows it; the server never sees this key.
ACCESS_KEY_ID = "AKIASANDBOXADMIN0001"
SECRET_ACCESS_KEY = "sandbox-admin-Jf5Kq0+wYb8/uRzTn2XvLd7HsPcEgM1"


def environment() -> dict[str, str]:
    """What leads an AWS SDK here, the published provider's too."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        **{f"AWS_ENDPOINT_URL_{service}": ENDPOINT for service in ("S3", "IAM", "STS")},
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def up() -> None:
    """Start the gateway and wait until it answers. It forgets everything when it ends."""
    if process.pid(PROCESS) is None:
        tell("starting AWS")
        process.start(PROCESS, [sys.executable, "-m", "sandbox.aws.gateway"], env={"PYTHONPATH": str(ROOT)})
    process.await_http(PROCESS, HOST_ADDRESS, PORT)


def down() -> None:
    process.stop(PROCESS)


def client(service: str, key_id: str = ACCESS_KEY_ID, secret: str = SECRET_ACCESS_KEY) -> Any:
    """A boto3 client of the account's administrator, or of another key."""
    return boto3.client(
        service, endpoint_url=ENDPOINT, region_name=REGION, aws_access_key_id=key_id, aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}),
    )  # fmt: skip


def forget_users() -> None:
    """No user but the administrator."""
    iam = client("iam")
    for name in [user["UserName"] for user in iam.list_users()["Users"]]:
        for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
            iam.delete_user_policy(UserName=name, PolicyName=policy)
        iam.delete_user(UserName=name)


def forget_bucket(name: str) -> None:
    """No bucket of that name, on either side."""
    store.remove_bucket(name)
    try:
        client("s3").delete_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
