"""This module has the plugin's resources: real calls with boto3, wherever settings and environment send them."""

from __future__ import annotations

from ..resource import Provider
from . import bucket_settings as settings
from .account import CONFIG, configure, validate
from .bucket import Bucket
from .bucket_settings import BucketSetting
from .iam import AccessKey, User, UserPolicy

_SETTINGS: dict[str, BucketSetting] = {
    "BucketPublicAccessBlock": settings.PublicAccessBlock(),
    "BucketOwnershipControls": settings.OwnershipControls(),
    "BucketPolicy": settings.BucketPolicy(),
    "BucketServerSideEncryptionConfiguration": settings.Encryption(),
    "BucketVersioning": settings.Versioning(),
    "BucketLifecycleConfiguration": settings.Lifecycle(),
    "BucketLogging": settings.Logging(),
}

PROVIDER = Provider(
    "7.51.1",
    {
        "aws:s3/bucket:Bucket": Bucket(),
        **{f"aws:s3/{name[0].lower()}{name[1:]}:{name}": setting for name, setting in _SETTINGS.items()},
        "aws:iam/user:User": User(),
        "aws:iam/userPolicy:UserPolicy": UserPolicy(),
        "aws:iam/accessKey:AccessKey": AccessKey(),
    },
    config=CONFIG,
    validate=validate,
    configure=configure,
    namespace="aws",
)
