"""Proof that the bucket serves as the media store. Fails with `Problem`, never quietly."""

from __future__ import annotations

import hashlib
import http.client
import json
import secrets
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from .context import Context
from .errors import Problem
from .places import RESERVED_PREFIX
from .preflight import homeserver_answers

#: Old files read back through the mount, and the largest taken, in bytes.
SAMPLE_FILES = 25
SAMPLE_LARGEST = 32 << 20


def wait_for_homeserver(context: Context) -> None:
    url, patience = context.settings.host.homeserver_url, context.settings.host.start_seconds
    if not context.system.wait_until(lambda: homeserver_answers(url), patience, every=0.2):
        raise Problem(
            f"the homeserver does not answer at {url} {patience} s after its start",
            "see journalctl -u matrix-synapse on the server; host.startSeconds gives a slow one more time",
        )


def _md5_of(path: Path) -> str:
    digest = hashlib.md5()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read_sample(context: Context, store: Path) -> int:
    """Old files, read through the mount at `store` as the homeserver's user, have the checksums they had locally.

    A server that adopted a filled bucket never had them: there, the store's own answer is compared.
    """
    uid, gid = context.owner
    with context.manifest() as manifest:
        sample = manifest.sample(SAMPLE_FILES, SAMPLE_LARGEST)
        if not sample:
            objects = manifest.sample_remote(SAMPLE_FILES, SAMPLE_LARGEST)
            sample = [(item.key, context.bucket.md5(item.key)) for item in objects]
    try:
        found = context.system.as_user(uid, gid, lambda: [_md5_of(store / path) for path, _ in sample], timeout=300)
    except OSError as error:
        raise Problem(
            f"old files cannot be read through the mount: {error}", "see journalctl -u matrix-media-store"
        ) from None
    for (path, md5), read in zip(sample, found):
        if md5 != read:
            raise Problem(
                f"{path!r} reads back with other content through the mount",
                "see journalctl -u matrix-media-store",
            )
    return len(sample)


def write_probe(context: Context, store: Path) -> None:
    """A file written through the mount at `store` is in the bucket, and gone again once removed."""
    (uid, gid) = context.owner
    key = f"{RESERVED_PREFIX}probe-{secrets.token_hex(8)}"
    path, body = store / key, secrets.token_bytes(4096)

    def write() -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body)

    try:
        context.system.as_user(uid, gid, write)
        if context.bucket.get(key) != body:
            raise Problem(
                "a file written through the mount is not in the bucket",
                "see journalctl -u matrix-media-store",
            )
        context.system.as_user(uid, gid, path.unlink)
    except OSError as error:
        raise Problem(f"the mount takes no new file: {error}", "see journalctl -u matrix-media-store") from None
    if context.bucket.head(key) is not None:
        raise Problem("a file removed through the mount stays in the bucket", "see journalctl -u matrix-media-store")


def _call(context: Context, method: str, path: str, body: bytes = b"") -> bytes:
    request = urllib.request.Request(
        context.settings.host.homeserver_url + path, data=body or None, method=method,
        headers={
            "Authorization": f"Bearer {context.settings.migration.access_token}",
            "Content-Type": "application/octet-stream",
        },
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def use_client_api(context: Context) -> None:
    """An upload through the Matrix client API is in the bucket and downloads byte for byte."""
    body = secrets.token_bytes(2048)
    try:
        uri = json.loads(_call(context, "POST", "/_matrix/media/v3/upload?filename=matrix-media-store-probe", body))
        server, media_id = uri["content_uri"][len("mxc://") :].split("/")
        again = _call(context, "GET", f"/_matrix/client/v1/media/download/{server}/{media_id}")
    except (OSError, urllib.error.URLError, http.client.HTTPException, KeyError, ValueError) as error:
        raise Problem(
            f"the Matrix API refused a test upload or download: {error}",
            "check host.accessToken (it may have expired)",
        ) from None
    if again != body:
        raise Problem("a test upload downloads with other content", "see journalctl -u matrix-synapse")
    key = f"local_content/{media_id[:2]}/{media_id[2:4]}/{media_id[4:]}"
    if context.bucket.get(key) != body:
        raise Problem(
            f"a test upload is not in the bucket as {key}",
            "check that host.mediaStore is Synapse's media_store_path",
        )


def prove(context: Context) -> dict[str, Any]:
    """All of it. Returns what was shown, for the verdict."""
    store = context.settings.host.store_path
    shown: dict[str, Any] = {"sample_files": read_sample(context, store)}
    write_probe(context, store)
    shown["probe"] = True
    if context.settings.migration.access_token:
        use_client_api(context)
        shown["client_api"] = True
    return shown
