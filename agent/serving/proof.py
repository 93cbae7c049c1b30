"""This module proves that the bucket serves as the media store. It fails with `Problem`, never quietly."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model.errors import Problem, StoreUnavailable
from ..model.layout import RESERVED_PREFIX
from ..model.md5 import new_md5
from ..state.records import Owner
from ..state.run import Server
from . import store_in_use, write_cache
from .homeserver import TROUBLE

if TYPE_CHECKING:
    from ..model.ports import Bucket, Homeserver, System
    from .write_cache import Cache

#: Old files read back through the mount, and the largest taken, in bytes.
SAMPLE_FILES = 25
SAMPLE_LARGEST = 32 << 20
#: Seconds within which a small file gets from the cache into the bucket.
ARRIVES_SECONDS = 30.0


def _md5_of(path: Path) -> str:
    digest = new_md5()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read_sample(server: Server, owner: Owner, store: Path) -> int:
    """Read old files through the mount at `store` as the homeserver's user, and return how many were compared.

    They must have the checksums they had locally. A server that adopted a filled bucket never had them: there, the
    store's own answer is compared. Raises `Problem` where one is different or cannot be read.
    """
    with server.manifest() as manifest:
        sample = manifest.sample(SAMPLE_FILES, SAMPLE_LARGEST)
        if not sample:
            objects = manifest.sample_remote(SAMPLE_FILES, SAMPLE_LARGEST)
            sample = [(item.key, server.bucket.md5(item.key)) for item in objects]
    try:
        found = server.system.as_user(
            owner.uid, owner.gid, lambda: [_md5_of(store / path) for path, _ in sample], timeout=300
        )
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


def write_probe(
    system: System, bucket: Bucket, owner: Owner, store: Path, size: int = 4096, cache: Cache | None = None
) -> None:
    """Write a file of `size` bytes through the mount at `store`, and remove it again; see both in the bucket.

    With a `cache` it arrives there within ARRIVES_SECONDS, and is removed once the cache knows that it did: else rclone
    would leave the object behind. Raises `Problem` where it does not.
    """
    key = f"{RESERVED_PREFIX}probe-{secrets.token_hex(8)}"
    path, body = store / key, secrets.token_bytes(size)

    def write() -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body)

    try:
        system.as_user(owner.uid, owner.gid, write)
        arrives = ARRIVES_SECONDS if cache else 0
        is_there = system.wait_until(
            lambda: bucket.get(key) == body and not (cache and cache.owes(key)), arrives, every=0.1
        )
        system.as_user(owner.uid, owner.gid, path.unlink)
        if not is_there:
            raise Problem(
                "a file written through the mount is not in the bucket",
                "see journalctl -u matrix-media-store",
            )
    except (OSError, StoreUnavailable) as error:
        raise Problem(f"the mount takes no new file: {error}", "see journalctl -u matrix-media-store") from None
    if bucket.head(key) is not None:
        raise Problem("a file removed through the mount stays in the bucket", "see journalctl -u matrix-media-store")


def use_client_api(system: System, homeserver: Homeserver, bucket: Bucket, arrives: float = 0) -> None:
    """Upload a file through the Matrix client API, and see it in the bucket and download it byte for byte.

    With a cache it `arrives` there within that many seconds. Raises `Problem` where that fails.
    """
    body = secrets.token_bytes(2048)
    try:
        server, media_id = homeserver.upload(body)
        again = homeserver.download(server, media_id)
    except (*TROUBLE, KeyError, ValueError) as error:
        raise Problem(
            f"the Matrix API refused a test upload or download: {error}",
            "check host.accessToken (it may have expired)",
        ) from None
    if again != body:
        raise Problem("a test upload downloads with other content", "see journalctl -u matrix-synapse")
    key = f"local_content/{media_id[:2]}/{media_id[2:4]}/{media_id[4:]}"
    if not system.wait_until(lambda: bucket.get(key) == body, arrives, every=0.1):
        raise Problem(
            f"a test upload is not in the bucket as {key}",
            "check that host.mediaStore is Synapse's media_store_path",
        )


def prove(server: Server, owner: Owner, homeserver: Homeserver) -> dict[str, Any]:
    """Read old files, write a probe, use the client API if there is a token; return what was shown, for the verdict.

    Raises `Problem` where one of these fails.
    """
    store = server.store_path
    shown: dict[str, Any] = {"sample_files": read_sample(server, owner, store)}
    cache = write_cache.wanted(server)
    write_probe(server.system, server.bucket, owner, store, cache=cache)
    shown["probe"] = True
    if blind := store_in_use.without_mount(server):
        raise Problem(
            f"Synapse (process {blind[0]}) does not see what is mounted at {store}",
            f"its container needs {store.parent} with slave propagation: see 'The container does not see the mount' in "
            "docs/runbook.md",
        )
    if server.settings.host.access_token:
        use_client_api(server.system, homeserver, server.bucket, ARRIVES_SECONDS if cache else 0)
        shown["client_api"] = True
    return shown
