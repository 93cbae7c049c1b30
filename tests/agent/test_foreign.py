"""What else is in the bucket, or cannot be a file, stays where it is, and is named."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.media import names
from agent.media.equality import Manifest
from agent.media.listing import MediaObjects, load_media, rebuilt
from agent.media.walk import walk
from agent.migration import empty_bucket, survey
from agent.model.errors import Problem
from agent.model.items import Object

from .conftest import Machine
from .fakes import FakeBucket
from .moves import FILES, fill, go

FOREIGN = {"backups/db.sql": b"dump", "report.pdf": b"pdf", "local_contents/x": b"nearly"}


def told(server: Machine) -> str:
    return "\n".join(server.said)


def test_what_is_no_media_never_comes_home_is_named_and_stays_as_it_is(server: Machine) -> None:
    """Review, entry 26: a bucket with other things in it was downloaded into the media store."""
    fill(server)
    server.bucket.objects.update(FOREIGN)
    survey.survey(server.run())
    assert "3 objects in the bucket are no media, 'backups/db.sql' first: they stay as they are" in told(server)
    go(server, "clean")
    server.bucket.objects["local_content/aa/bb/new"] = b"uploaded meanwhile"
    go(server, "prepare")
    assert server.tree().keys() == {*FILES, "local_content/aa/bb/new"}
    assert FOREIGN.items() <= server.bucket.objects.items()


def test_files_in_a_folder_that_synapse_does_not_know_come_home_if_they_were_put_there_from_here(
    server: Machine,
) -> None:
    fill(server)
    server.write("own_folder/aa/file", b"of an administrator")
    go(server, "clean")
    go(server, "prepare")
    assert server.tree()["own_folder/aa/file"] == b"of an administrator"


def test_what_came_into_a_folder_that_is_left_out_while_the_bucket_served_comes_home(server: Machine) -> None:
    """Review, entry 35."""
    server.tell(copy={"exclude": ["url_cache", "remote_content"]})
    fill(server)
    go(server, "live")
    server.bucket.objects["remote_content/other/aa/bb/new"] = b"while live"
    server.bucket.objects["url_cache/2026-02-02/new"] = b"a preview"
    go(server, "prepare")
    found = server.tree()
    assert found["remote_content/other/aa/bb/new"] == b"while live" and "url_cache/2026-02-02/new" not in found
    assert found["remote_content/[::1]:8448/aa/bb/two"] == b"two", "what was here all the time"
    assert rebuilt(["x", "url_cache"]) == ["url_cache"]


@pytest.mark.parametrize(
    "key", ["remote_content/a\nb", f"local_content/{'x' * 256}", "local_content/\u2401x", f"local_content/{'é' * 128}"]
)
def test_an_object_whose_name_no_file_can_have_stays_and_does_not_keep_the_rest(server: Machine, key: str) -> None:
    """Review, entry 34: mirror and live passed, the way home failed."""
    fill(server)
    server.bucket.objects[key] = b"?"
    go(server, "clean")
    go(server, "prepare")
    assert server.tree().items() >= FILES.items() and key in server.bucket.objects
    assert "names that no file here can have" in told(server)


def test_of_an_object_and_one_below_it_the_one_stays_that_is_ours_else_the_one_below(tmp_path: Path) -> None:
    with Manifest(tmp_path / "m.sqlite") as manifest:
        manifest.add_sent(["local_content/b"])
        bucket = FakeBucket(
            {f"local_content/{key}": b"x" for key in ("a", "a!", "a/b", "b", "b/c", "b/d", "b0", "c/d")}
        )
        found = load_media(manifest, bucket, [])
        assert found.unnameable.count == 3 and found.unnameable.first == "local_content/a"
        assert manifest.missing_locally() == [f"local_content/{key}" for key in ("a!", "a/b", "b", "b0", "c/d")]


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    with Manifest(tmp_path / "m.sqlite") as made:
        yield made


def test_the_names_at_the_top_are_all_found(manifest: Manifest) -> None:
    manifest.add_sent(["a/1", "a/2", "a-b/1", "a0/1", "file", "file.txt", "z/1"])
    assert manifest.tops() == ["a", "a-b", "a0", "file", "file.txt", "z"]


def test_each_object_that_only_the_bucket_has_is_asked_for_once(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Review, entry 29."""
    fill(server)
    server.bucket.objects["local_content/aa/bb/only-there"] = b"x"
    asked: list[str] = []
    real = server.bucket.has_other_key

    def ask(key: str) -> bool:
        asked.append(key)
        return real(key)

    monkeypatch.setattr(server.bucket, "has_other_key", ask)
    go(server, "mirror")
    go(server, "prepare")
    go(server, "mirror")
    assert asked == ["local_content/aa/bb/only-there"]
    server.bucket.objects["local_content/aa/bb/only-there"] = b"another one by now"
    go(server, "prepare")
    go(server, "mirror")
    assert len(asked) == 2


def archive(server: Machine, monkeypatch: pytest.MonkeyPatch, *keys: str) -> None:
    real = server.bucket._object

    def as_listed(key: str) -> Object:
        return dataclasses.replace(real(key), archived=key in keys)

    monkeypatch.setattr(server.bucket, "_object", as_listed)


def test_objects_in_an_archive_are_told_before_anything_begins_where_only_the_bucket_has_them(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Review, entry 33: the refusal to read them was told as another key's."""
    fill(server)
    server.bucket.objects["local_content/aa/bb/old"] = b"in the ice"
    archive(server, monkeypatch, "local_content/aa/bb/old", "backups/x")
    with pytest.raises(Problem, match="1 objects .* archive class .*'local_content/aa/bb/old' first.* restore them"):
        survey.survey(server.run())
    server.write("local_content/aa/bb/old", b"in the ice")
    survey.survey(server.run())


def test_an_object_that_went_into_an_archive_while_live_is_told_on_the_way_home(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "clean")
    archive(server, monkeypatch, "local_content/aa/bb/one")
    with pytest.raises(Problem, match="archive class .*'local_content/aa/bb/one' first"):
        go(server, "prepare")


def test_names_that_cannot_go_into_a_bucket_are_told_all_at_once(server: Machine) -> None:
    """Review, entry 37."""
    fill(server)
    for name in ("a\nb", "\u2405c", "x" * 250):
        server.write(f"local_content/{name}", b"x")
    server.write("local_content/" + "/".join(["y" * 200] * 5), b"x")
    with pytest.raises(Problem, match=r"; 2 more are in .*unfit.txt -- move it out"):
        survey.survey(server.run())
    assert len((server.layout.var / "unfit.txt").read_text().splitlines()) == 3


@pytest.mark.parametrize("char", ["\u2401", "\u241f", "\u2421", "\u201b", "\r"])
def test_a_name_that_the_copying_program_passes_over_is_refused(tmp_path: Path, char: str) -> None:
    """rclone 1.75.1 ends with 0 and has not copied it (tried with each character from U+2400 to U+243F)."""
    (tmp_path / f"x{char}").touch()
    with pytest.raises(Problem, match="takes for another one"):
        list(walk(tmp_path, []))
    assert not names.trouble("\u2400\u2420\u2422é\uff0f\x7f")


@pytest.mark.parametrize("outside", ["", "backups/db.sql"])
def test_a_bucket_with_other_things_in_it_is_not_emptied(server: Machine, outside: str) -> None:
    fill(server)
    go(server, "mirror")
    server.bucket.outside = outside
    if not outside:
        server.bucket.objects["backups/db.sql"] = b"dump"
    before = dict(server.bucket.objects)
    with pytest.raises(Problem, match="which holds other things than the media store, 'backups/db.sql' among them"):
        empty_bucket.empty(server.run())
    assert server.bucket.objects == before


def test_left_out_folders_and_our_own_objects_are_neither_media_nor_foreign() -> None:
    bucket = FakeBucket({".matrix-media-store/owner.json": b"{}", "url_cache/x": b"", "local_content/": b"", "m": b""})
    found = MediaObjects(bucket, ["url_cache"], ["m"])
    assert [item.key for item in found] == ["m"] and not found.lines()
    assert hashlib.md5(b"").hexdigest() == bucket._object("m").etag
