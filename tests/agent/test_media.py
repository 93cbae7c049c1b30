"""What lies on both sides: walks, checksums, what is equal, and how many deletions are believed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.media import checksums, names
from agent.media.deletions import allowed_deletions
from agent.media.equality import Manifest
from agent.media.walk import walk
from agent.model.errors import Problem
from agent.model.items import Object


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    with Manifest(tmp_path / "m.sqlite") as made:
        yield made


def store_with(tmp_path: Path, files: dict[str, bytes]) -> Path:
    root = tmp_path / "store"
    for name, body in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return root


def test_multipart_etags_are_those_that_s3_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "PART_CUTOFF", 10)
    monkeypatch.setattr(checksums, "PART_SIZE", 4)

    def of(body: bytes) -> tuple[str, str]:
        (tmp_path / "file").write_bytes(body)
        with open(tmp_path / "file", "rb") as file:
            return checksums.checksums(file, len(body))

    md5, parts = of(b"0123456789")
    by_hand = b"".join(hashlib.md5(p).digest() for p in (b"0123", b"4567", b"89"))
    assert md5 == "781e5e245d69b566979b86e28d23f2c7"
    assert parts == hashlib.md5(by_hand).hexdigest() + "-3"
    assert of(b"small")[1] == ""


def test_equal_means_equal_content_not_equal_size(tmp_path: Path, manifest: Manifest) -> None:
    root = store_with(tmp_path, {"same": b"abc", "other": b"abc", "gone": b"abc", "odd": b"abc"})
    manifest.load_local(walk(root, []))
    md5 = hashlib.md5(b"abc").hexdigest()
    manifest.load_remote(
        [Object("same", 3, md5), Object("other", 3, "0" * 32), Object("odd", 3, "x-2"), Object("new", 1, "y")]
    )
    checksums.checksum_files(manifest, root, manifest.without_checksum())
    assert manifest.missing_remotely() == ["gone"] and manifest.missing_locally() == ["new"]
    assert manifest.different() == ["odd", "other"]
    assert [item.key for item in manifest.doubtful()] == ["odd", "other"]
    manifest.add_read([("odd", "x-2", md5), ("other", "0" * 32, "1" * 32)])
    assert manifest.different() == ["other"]
    manifest.load_remote([Object("odd", 3, "x-3")])
    assert manifest.different() == ["odd"], "what was read back counts for that ETag only"


def test_a_checksum_counts_only_for_the_very_file_it_was_made_of(tmp_path: Path, manifest: Manifest) -> None:
    root = store_with(tmp_path, {"f": b"abc"})
    manifest.load_local(walk(root, []))
    manifest.load_remote([Object("f", 3, hashlib.md5(b"abc").hexdigest())])
    checksums.checksum_files(manifest, root, manifest.without_checksum())
    assert manifest.equal() == (1, 3)
    info = (root / "f").stat()
    (root / "f").write_bytes(b"abd")
    os.utime(root / "f", ns=(info.st_atime_ns, info.st_mtime_ns))
    manifest.load_local(walk(root, []))
    assert manifest.equal() == (0, 0), "same size and mtime, other ctime"


def test_a_walk_leaves_out_what_it_is_told_at_the_top_only(tmp_path: Path) -> None:
    root = store_with(tmp_path, {"url_cache/x": b"", "a/url_cache/y": b"", "b": b""})
    assert sorted(e.path for e in walk(root, ["url_cache"])) == ["a/url_cache/y", "b"]


@pytest.mark.parametrize("kind", ["link", "line break", "pipe", "not UTF-8", "too long", "escape"])
def test_what_a_bucket_cannot_hold_is_told_before_anything_is_copied(tmp_path: Path, kind: str) -> None:
    root = store_with(tmp_path, {"ok": b""})
    if kind == "link":
        (root / "l").symlink_to("ok")
    elif kind == "pipe":
        os.mkfifo(root / "p")
    elif kind == "too long":
        store_with(tmp_path, {"/".join(["n" * 200] * 6): b""})
    else:
        (root / {"line break": "a\nb", "not UTF-8": os.fsdecode(b"\xff"), "escape": "a\u201bb"}[kind]).touch()
    with pytest.raises(Problem, match="--"):
        list(walk(root, []))


def test_deletions_beyond_the_limit_need_confirmation() -> None:
    assert allowed_deletions(1000, 5.0) == 50
    assert allowed_deletions(100, 5.0) == 20, "a few are believed in a small store"
    assert allowed_deletions(10, 5.0) == 5, "but never more than half"
    assert allowed_deletions(0, 5.0) == 0


@pytest.mark.parametrize("key", ["/etc/passwd", "a/../b", "a//b", "folder/", "..", "./a"])
def test_keys_that_are_no_file_names_are_passed_over(key: str) -> None:
    assert names.trouble(key)
    assert not names.trouble("remote_content/[::1]:8448/aa/bb/...")
