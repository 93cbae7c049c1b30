"""The account: keys, the tokens made from them, and buckets. What a key may do holds on the S3 side too."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from .. import store
from . import ENDPOINT, KEY, KEY_ID, S3_ENDPOINT

Document = dict[str, Any]

ACCOUNT_ID = "0000sandbox"
CAPABILITIES = (
    "listKeys", "writeKeys", "deleteKeys", "listAllBucketNames", "listBuckets", "readBuckets", "writeBuckets",
    "deleteBuckets", "readBucketEncryption", "writeBucketEncryption", "readBucketRetentions", "readBucketReplications",
    "listFiles", "readFiles", "shareFiles", "writeFiles", "deleteFiles",
)  # fmt: skip
#: What a capability is on the S3 side: actions on the bucket, and on its objects.
S3_SIDE = {
    "listBuckets": (["s3:GetBucketLocation"], []),
    "listFiles": (["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"], []),
    "readFiles": ([], ["s3:GetObject", "s3:GetObjectVersion"]),
    "writeFiles": ([], ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]),
    "deleteFiles": ([], ["s3:DeleteObject", "s3:DeleteObjectVersion"]),
}
_RULE = {
    "fileNamePrefix",
    "daysFromHidingToDeleting",
    "daysFromUploadingToHiding",
    "daysFromStartingToCancelingUnfinishedLargeFiles",
}


class Refused(Exception):
    """An error of the API: HTTP status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.document: Document = {"status": status, "code": code, "message": message}


@dataclass
class Key:
    """`buckets` are ids; None for all."""

    id: str
    secret: str
    name: str
    capabilities: list[str]
    buckets: list[str] | None

    def document(self) -> Document:
        return {
            "accountId": ACCOUNT_ID, "applicationKeyId": self.id, "keyName": self.name, "namePrefix": None,
            "capabilities": self.capabilities, "bucketIds": self.buckets, "expirationTimestamp": None, "options": [],
        }  # fmt: skip

    def need(self, capability: str, bucket: str | None = None) -> None:
        if capability not in self.capabilities:
            raise Refused(401, "unauthorized", f"the key lacks {capability}")
        if self.buckets is not None and bucket not in self.buckets:
            raise Refused(401, "unauthorized", "the key is restricted to another bucket")


@dataclass
class Account:
    keys: dict[str, Key] = field(default_factory=dict)
    tokens: dict[str, Key] = field(default_factory=dict)
    buckets: dict[str, Document] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys[KEY_ID] = Key(KEY_ID, KEY, "master", list(CAPABILITIES), None)

    def authorize(self, header: str, version: str) -> Document:
        key_id, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        key = self.keys.get(key_id)
        if key is None or key.secret != secret:
            raise Refused(401, "unauthorized", "invalid application key")
        token = secrets.token_urlsafe(24)
        self.tokens[token] = key
        named = [{"id": one, "name": self.buckets.get(one, {}).get("bucketName")} for one in key.buckets or []]
        allowed: Document = {"capabilities": key.capabilities, "namePrefix": None}
        if version == "v4":
            storage: Document = {"allowed": {**allowed, "buckets": named or None}}
        else:
            first = named[0] if named else {"id": None, "name": None}
            storage = {**allowed, "bucketId": first["id"], "bucketName": first["name"]}
        storage |= {
            "apiUrl": ENDPOINT, "downloadUrl": ENDPOINT, "s3ApiUrl": S3_ENDPOINT, "infoType": "storageApi",
            "recommendedPartSize": 100_000_000, "absoluteMinimumPartSize": 5_000_000,
        }  # fmt: skip
        return {
            "accountId": ACCOUNT_ID, "authorizationToken": token, "applicationKeyExpirationTimestamp": None,
            "apiInfo": {"storageApi": storage, "groupsApi": {}},
        }  # fmt: skip

    def key_of(self, token: str) -> Key:
        key = self.tokens.get(token)
        if key is None or key.id not in self.keys:
            raise Refused(401, "bad_auth_token", "invalid authorization token")
        return key

    # Keys

    def create_key(self, key: Key, wanted: Document) -> Document:
        key.need("writeKeys")
        if unknown := set(wanted["capabilities"]) - set(CAPABILITIES):
            raise Refused(400, "bad_request", f"unknown capabilities {sorted(unknown)}")
        if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", wanted["keyName"]):
            raise Refused(400, "bad_request", "keyName must be 1 to 100 letters, digits and hyphens")
        buckets = wanted.get("bucketIds")
        for one in buckets or []:
            self.bucket(one)
        made = Key(f"000{secrets.token_hex(8)}", f"K000{secrets.token_urlsafe(20)}", wanted["keyName"],
                   list(wanted["capabilities"]), buckets)  # fmt: skip
        self.keys[made.id] = made
        store.set_user(made.id, made.secret, self._statements(made))
        return {**made.document(), "applicationKey": made.secret}

    def _statements(self, key: Key) -> list[Document]:
        names = ["*"] if key.buckets is None else [self.bucket(one)["bucketName"] for one in key.buckets]
        statements = []
        for on, suffix in ((0, ""), (1, "/*")):
            actions = sorted({action for name in key.capabilities for action in S3_SIDE.get(name, ([], []))[on]})
            if actions:
                resources = [f"arn:aws:s3:::{name}{suffix}" for name in names]
                statements.append({"Effect": "Allow", "Action": actions, "Resource": resources})
        return statements

    def delete_key(self, key: Key, wanted: Document) -> Document:
        key.need("deleteKeys")
        gone = self.keys.pop(wanted["applicationKeyId"], None)
        if gone is None:
            raise Refused(400, "bad_request", "no such key")
        store.remove_user(gone.id)
        return gone.document()

    def list_keys(self, key: Key, wanted: Document) -> Document:
        key.need("listKeys")
        start = wanted.get("startApplicationKeyId") or ""
        found = [one.document() for one in sorted(self.keys.values(), key=lambda one: one.id) if one.id >= start]
        return {"keys": [one for one in found if one["applicationKeyId"] != KEY_ID], "nextApplicationKeyId": None}

    # Buckets

    def bucket(self, bucket_id: str) -> Document:
        if bucket_id not in self.buckets:
            raise Refused(400, "bad_bucket_id", f"no bucket {bucket_id}")
        return self.buckets[bucket_id]

    def create_bucket(self, key: Key, wanted: Document) -> Document:
        key.need("writeBuckets")
        name = wanted["bucketName"]
        if not re.fullmatch(r"(?!b2-)[A-Za-z0-9-]{6,63}", name):
            raise Refused(400, "bad_request", f"invalid bucketName {name}")
        if any(one["bucketName"] == name for one in self.buckets.values()):
            raise Refused(400, "duplicate_bucket_name", f"bucket name {name} is taken")
        made = {
            "accountId": ACCOUNT_ID, "bucketId": secrets.token_hex(12), "bucketName": name, "revision": 1,
            "corsRules": [], "lifecycleRules": [], "options": ["s3"], "bucketInfo": {},
            "fileLockConfiguration": {"isClientAuthorizedToRead": True, "value": {
                "defaultRetention": {"mode": None, "period": None}, "isFileLockEnabled": False}},
            "defaultServerSideEncryption": {"isClientAuthorizedToRead": True, "value": {"mode": None}},
            **self._settings(wanted),
        }  # fmt: skip
        store.client().create_bucket(Bucket=name)
        store.client().put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        self.buckets[made["bucketId"]] = made
        return made

    @staticmethod
    def _settings(wanted: Document) -> Document:
        if wanted.get("bucketType", "allPrivate") not in ("allPrivate", "allPublic"):
            raise Refused(400, "bad_request", "bucketType must be allPrivate or allPublic")
        for rule in wanted.get("lifecycleRules") or []:
            if unknown := set(rule) - _RULE:
                raise Refused(400, "bad_request", f"unknown in a lifecycle rule: {sorted(unknown)}")
            for name in _RULE - {"fileNamePrefix"}:
                days = rule.setdefault(name, None)
                if days is not None and days < 1:
                    raise Refused(400, "bad_request", f"{name} must be at least 1")
        return {name: wanted[name] for name in ("bucketType", "bucketInfo", "lifecycleRules", "corsRules")
                if wanted.get(name) is not None}  # fmt: skip

    def update_bucket(self, key: Key, wanted: Document) -> Document:
        key.need("writeBuckets", wanted["bucketId"])
        bucket = self.bucket(wanted["bucketId"])
        bucket.update(self._settings(wanted), revision=bucket["revision"] + 1)
        return bucket

    def delete_bucket(self, key: Key, wanted: Document) -> Document:
        key.need("deleteBuckets", wanted["bucketId"])
        bucket = self.bucket(wanted["bucketId"])
        try:
            store.client().delete_bucket(Bucket=bucket["bucketName"])
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code != "NoSuchBucket":
                raise Refused(400, "cannot_delete_non_empty_bucket", "Cannot delete non-empty bucket") from None
        return self.buckets.pop(wanted["bucketId"])

    def list_buckets(self, key: Key, wanted: Document) -> Document:
        found = list(self.buckets.values())
        if wanted.get("bucketId"):
            found = [one for one in found if one["bucketId"] == wanted["bucketId"]]
        if wanted.get("bucketName"):
            found = [one for one in found if one["bucketName"] == wanted["bucketName"]]
        if key.buckets is not None and (not found or any(one["bucketId"] not in key.buckets for one in found)):
            raise Refused(401, "unauthorized", "the key is restricted to another bucket")
        key.need("listBuckets", found[0]["bucketId"] if found else None)
        return {"buckets": found}
