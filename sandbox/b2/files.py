"""Files through B2's own API. Each is an object's version on the S3 side, and the other way round."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from .. import store
from . import ENDPOINT
from .account import ACCOUNT_ID, Account, Document, Key, Refused


def _id(bucket: str, name: str, version: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([bucket, name, version]).encode()).decode()


def _parts(file_id: str) -> tuple[str, str, str]:
    try:
        bucket, name, version = json.loads(base64.urlsafe_b64decode(file_id))
    except ValueError:
        raise Refused(400, "bad_request", f"bad fileId {file_id}") from None
    return bucket, name, version


@dataclass
class Large:
    """A large file that is not finished: an unfinished upload on the S3 side."""

    bucket: str
    name: str
    content_type: str
    info: dict[str, str]
    upload: str
    parts: dict[int, tuple[str, str, int]] = field(default_factory=dict)


@dataclass
class Files:
    """`known` is what only this API tells of a file: its SHA-1 and its information."""

    account: Account
    known: dict[str, Document] = field(default_factory=dict)
    large: dict[str, Large] = field(default_factory=dict)

    def _name(self, bucket_id: str) -> str:
        return str(self.account.bucket(bucket_id)["bucketName"])

    def _described(self, bucket_id: str, item: Document) -> Document:
        version = item.get("VersionId", "null")
        file_id = _id(bucket_id, item["Key"], version)
        more = self.known.get(file_id, {"contentSha1": "none", "fileInfo": {}, "contentType": "b2/x-auto"})
        return {
            "accountId": ACCOUNT_ID, "bucketId": bucket_id, "fileId": file_id, "fileName": item["Key"],
            "action": "upload" if "Size" in item else "hide", "contentLength": item.get("Size", 0), "contentMd5": None,
            "uploadTimestamp": int(item["LastModified"].timestamp() * 1000), "replicationStatus": None,
            "fileRetention": {"isClientAuthorizedToRead": False, "value": None},
            "legalHold": {"isClientAuthorizedToRead": False, "value": None},
            "serverSideEncryption": {"algorithm": None, "mode": None}, **more,
        }  # fmt: skip

    def _versions(self, bucket_id: str, prefix: str) -> list[Document]:
        """All versions by name, the newest first."""
        found: list[Document] = []
        for page in (
            store.client().get_paginator("list_object_versions").paginate(Bucket=self._name(bucket_id), Prefix=prefix)
        ):
            found += [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        # Sorting is stable: of one name the latest comes first, then the others as S3 lists them, newest first.
        found.sort(key=lambda item: (item["Key"].encode(), not item["IsLatest"], -item["LastModified"].timestamp()))
        return found

    def list_versions(self, key: Key, wanted: Document) -> Document:
        key.need("listFiles", wanted["bucketId"])
        found = [self._described(wanted["bucketId"], item) for item in self._all(wanted)]
        start, start_id = wanted.get("startFileName") or "", wanted.get("startFileId")
        names = [one["fileName"].encode() for one in found]
        first = next((n for n, name in enumerate(names) if name >= start.encode()), len(found))
        if start_id:
            first = next((n for n, one in enumerate(found) if one["fileId"] == start_id), first)
        count = wanted.get("maxFileCount") or 100
        rest = found[first + count :]
        return {
            "files": found[first : first + count],
            "nextFileName": rest[0]["fileName"] if rest else None,
            "nextFileId": rest[0]["fileId"] if rest else None,
        }

    def _all(self, wanted: Document) -> list[Document]:
        return self._versions(wanted["bucketId"], wanted.get("prefix") or "")

    def list_names(self, key: Key, wanted: Document) -> Document:
        key.need("listFiles", wanted["bucketId"])
        found = [
            self._described(wanted["bucketId"], item)
            for item in self._all(wanted)
            if item["IsLatest"] and "Size" in item
            and item["Key"].encode() >= (wanted.get("startFileName") or "").encode()
        ]  # fmt: skip
        count = wanted.get("maxFileCount") or 100
        return {"files": found[:count], "nextFileName": found[count]["fileName"] if len(found) > count else None}

    def upload_url(self, key: Key, wanted: Document) -> Document:
        key.need("writeFiles", wanted["bucketId"])
        return {
            "bucketId": wanted["bucketId"],
            "uploadUrl": f"{ENDPOINT}/upload/{wanted['bucketId']}",
            "authorizationToken": self._upload_token(key),
        }

    def _upload_token(self, key: Key) -> str:
        token = f"upload-{secrets.token_urlsafe(16)}"
        self.account.tokens[token] = key
        return token

    def upload(self, key: Key, bucket_id: str, name: str, content_type: str, info: Any, sha1: str, body: bytes) -> Any:
        key.need("writeFiles", bucket_id)
        body, digest = _checked(body, sha1)
        done = store.client().put_object(Bucket=self._name(bucket_id), Key=name, Body=body)
        file_id = _id(bucket_id, name, done["VersionId"])
        self.known[file_id] = {"contentSha1": digest, "fileInfo": info, "contentType": content_type}
        now = datetime.datetime.now(datetime.UTC)
        item = {"Key": name, "VersionId": done["VersionId"], "Size": len(body), "LastModified": now}
        return self._described(bucket_id, item)

    def info(self, key: Key, wanted: Document, capability: str = "readFiles") -> Document:
        bucket_id, name, version = _parts(wanted["fileId"])
        key.need(capability, bucket_id)
        for item in self._versions(bucket_id, name):
            if item["Key"] == name and item["VersionId"] == version:
                return self._described(bucket_id, item)
        raise Refused(404, "not_found", f"no file {wanted['fileId']}")

    def hide(self, key: Key, wanted: Document) -> Document:
        key.need("writeFiles", wanted["bucketId"])
        done = store.client().delete_object(Bucket=self._name(wanted["bucketId"]), Key=wanted["fileName"])
        file_id = _id(wanted["bucketId"], wanted["fileName"], done["VersionId"])
        return self.info(key, {"fileId": file_id}, "writeFiles")

    def delete_version(self, key: Key, wanted: Document) -> Document:
        bucket_id, name, version = _parts(wanted["fileId"])
        key.need("deleteFiles", bucket_id)
        store.client().delete_object(Bucket=self._name(bucket_id), Key=name, VersionId=version)
        return {"fileId": wanted["fileId"], "fileName": name}

    def download(self, key: Key, bucket_name: str, name: str) -> tuple[bytes, Document]:
        bucket_id = next((i for i, one in self.account.buckets.items() if one["bucketName"] == bucket_name), "")
        key.need("readFiles", bucket_id)
        item = next((one for one in self._versions(bucket_id, name) if one["Key"] == name and one["IsLatest"]), None)
        if item is None or "Size" not in item:
            raise Refused(404, "not_found", f"no file {name}")
        return store.client().get_object(Bucket=bucket_name, Key=name)["Body"].read(), self._described(bucket_id, item)

    # Large files

    def start_large(self, key: Key, wanted: Document) -> Document:
        key.need("writeFiles", wanted["bucketId"])
        upload = store.client().create_multipart_upload(Bucket=self._name(wanted["bucketId"]), Key=wanted["fileName"])
        file_id = _id(wanted["bucketId"], wanted["fileName"], f"large-{upload['UploadId']}")
        self.large[file_id] = Large(
            wanted["bucketId"], wanted["fileName"], wanted["contentType"], wanted.get("fileInfo") or {},
            upload["UploadId"],
        )  # fmt: skip
        return self._large_document(file_id)

    def _large_document(self, file_id: str) -> Document:
        large = self.large[file_id]
        return {
            "accountId": ACCOUNT_ID, "bucketId": large.bucket, "fileId": file_id, "fileName": large.name,
            "contentType": large.content_type, "fileInfo": large.info, "action": "start", "contentLength": 0,
            "uploadTimestamp": 0, "fileRetention": {"isClientAuthorizedToRead": False, "value": None},
            "legalHold": {"isClientAuthorizedToRead": False, "value": None},
        }  # fmt: skip

    def _open(self, key: Key, file_id: str) -> Large:
        if file_id not in self.large:
            raise Refused(400, "bad_request", f"no large file {file_id}")
        key.need("writeFiles", self.large[file_id].bucket)
        return self.large[file_id]

    def part_url(self, key: Key, wanted: Document) -> Document:
        self._open(key, wanted["fileId"])
        url = f"{ENDPOINT}/part/{wanted['fileId']}"
        return {"fileId": wanted["fileId"], "uploadUrl": url, "authorizationToken": self._upload_token(key)}

    def upload_part(self, key: Key, file_id: str, number: int, sha1: str, body: bytes) -> Document:
        large = self._open(key, file_id)
        body, digest = _checked(body, sha1)
        done = store.client().upload_part(
            Bucket=self._name(large.bucket), Key=large.name, UploadId=large.upload, PartNumber=number, Body=body
        )
        large.parts[number] = (done["ETag"], digest, len(body))
        return self._part_document(file_id, number)

    def _part_document(self, file_id: str, number: int) -> Document:
        _, digest, size = self.large[file_id].parts[number]
        return {"fileId": file_id, "partNumber": number, "contentLength": size, "contentSha1": digest,
                "uploadTimestamp": 0}  # fmt: skip

    def list_parts(self, key: Key, wanted: Document) -> Document:
        large = self._open(key, wanted["fileId"])
        parts = [self._part_document(wanted["fileId"], number) for number in sorted(large.parts)]
        return {"parts": parts, "nextPartNumber": None}

    def list_unfinished(self, key: Key, wanted: Document) -> Document:
        key.need("listFiles", wanted["bucketId"])
        found = [self._large_document(i) for i, large in self.large.items() if large.bucket == wanted["bucketId"]]
        prefix = wanted.get("namePrefix") or ""
        return {"files": [one for one in found if one["fileName"].startswith(prefix)], "nextFileId": None}

    def finish_large(self, key: Key, wanted: Document) -> Document:
        large = self._open(key, wanted["fileId"])
        if [large.parts[n][1] for n in sorted(large.parts)] != list(wanted["partSha1Array"]):
            raise Refused(400, "bad_request", "the parts are not those of partSha1Array")
        done = store.client().complete_multipart_upload(
            Bucket=self._name(large.bucket), Key=large.name, UploadId=large.upload,
            MultipartUpload={"Parts": [{"PartNumber": n, "ETag": large.parts[n][0]} for n in sorted(large.parts)]},
        )  # fmt: skip
        del self.large[wanted["fileId"]]
        file_id = _id(large.bucket, large.name, done["VersionId"])
        self.known[file_id] = {"contentSha1": "none", "fileInfo": large.info, "contentType": large.content_type}
        return self.info(key, {"fileId": file_id}, "writeFiles")

    def cancel_large(self, key: Key, wanted: Document) -> Document:
        large = self._open(key, wanted["fileId"])
        store.client().abort_multipart_upload(Bucket=self._name(large.bucket), Key=large.name, UploadId=large.upload)
        document = self._large_document(wanted["fileId"])
        del self.large[wanted["fileId"]]
        return document


def _checked(body: bytes, sha1: str) -> tuple[bytes, str]:
    """The content with its SHA-1 as it must be; B2 refuses anything else."""
    if sha1 == "hex_digits_at_end":
        body, sha1 = body[:-40], body[-40:].decode()
    digest = hashlib.sha1(body).hexdigest()
    if sha1 != "do_not_verify" and sha1.removeprefix("unverified:") != digest:
        raise Refused(400, "bad_request", "Sha1 did not match data received")
    return body, digest
