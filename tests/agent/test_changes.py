"""What changed since the comparison: found by one walk, proven for these files alone."""

from __future__ import annotations

import os
from typing import Any

import pytest

from agent.media import checksums
from agent.migration import changes, mirror
from agent.migration.window import Clock
from agent.model.errors import CommandFailed, Problem

from .conftest import Machine
from .window_of import FILES, Told, after_window, counts, fill, in_window, mirrored, rewrite


def test_the_time_for_the_window_bounds_reading_too(server: Machine) -> None:
    known = mirrored(server)
    server.write("local_content/zz/zz/late", b"late")
    with pytest.raises(Problem, match="did not arrive within"):
        changes.in_window(server.run(), known, Clock(300, deadline=0.0))
    assert "local_content/zz/zz/late" not in server.bucket.objects


def test_what_was_read_before_the_window_is_not_read_again_in_it(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    mirror.mirror(server.run())
    server.write("local_content/zz/zz/late", b"late")
    with monkeypatch.context() as patch:
        patch.setattr(server.copier, "upload", lambda *_: None)
        _, known = changes.before_window(server.run(), None)
    monkeypatch.setattr(checksums, "checksums", lambda *_: pytest.fail("read again"))
    assert counts(server, known) == (1, 0)


def test_the_window_proves_what_came_since_and_asks_for_no_listing(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = mirrored(server)
    monkeypatch.setattr(server.bucket, "list", lambda *a, **b: pytest.fail("a listing in the window"))
    server.write("local_content/zz/zz/late", b"late")
    rewrite(server, "one/deep", b"DEEP")
    assert counts(server, known) == (2, 0)
    assert server.bucket.objects == FILES | {"local_content/zz/zz/late": b"late", "one/deep": b"DEEP"}
    with server.agent.manifest() as manifest:
        assert manifest.known() == (len(FILES) + 1, sum(map(len, FILES.values())) + len(b"late"))
        assert manifest.uploaded_count() == len(FILES) + 1


def test_a_file_purged_since_leaves_the_bucket_too_and_is_forgotten(server: Machine) -> None:
    known = mirrored(server)
    os.unlink(server.store / "one/deep")
    server.write("local_content/zz/zz/late", b"late")
    assert counts(server, known) == (1, 1)
    assert "one/deep" in server.bucket.objects, "nothing is removed in a window"
    after_window(server)
    assert "one/deep" not in server.bucket.objects
    with server.agent.manifest() as manifest:
        assert manifest.gone_locally() == [] and manifest.lost_remotely() == []
        assert manifest.known()[0] == len(FILES)


@pytest.mark.parametrize("listener", [None, Told(*FILES)], ids=["found by a walk", "told of"])
def test_many_files_gone_since_stop_the_window_before_anything_is_removed(
    server: Machine, listener: Told | None
) -> None:
    known = mirrored(server, listener)
    for path in FILES:
        os.unlink(server.store / path)
    with pytest.raises(Problem, match="gone from the local store"):
        in_window(server, known)
    assert server.bucket.objects == FILES


def test_what_could_not_be_sent_before_the_window_is_sent_in_it(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    mirror.mirror(server.run())
    server.write("local_content/zz/zz/late", b"late")
    with monkeypatch.context() as patch:

        def fail(*_: Any) -> None:
            raise CommandFailed(["rclone"], 1, "the store was busy")

        patch.setattr(server.copier, "upload", fail)
        came, known = changes.before_window(server.run(), None)
    assert came == 1 and "local_content/zz/zz/late" not in server.bucket.objects
    assert counts(server, known) == (1, 0)
    assert server.bucket.objects["local_content/zz/zz/late"] == b"late"


def test_a_file_that_arrives_damaged_in_the_window_is_a_problem(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = mirrored(server)
    server.write("local_content/zz/zz/late", b"late")
    monkeypatch.setattr(server.copier, "upload", lambda *_: server.bucket.put("local_content/zz/zz/late", b"lat3"))
    with pytest.raises(Problem, match="1 files changed lately are not equal.*late"):
        in_window(server, known)


def test_a_walk_after_the_window_names_what_nobody_told_of_and_sends_nothing(server: Machine) -> None:
    known = mirrored(server, Told())
    server.write("local_content/zz/zz/late", b"late")
    rewrite(server, "one/deep", b"DEEP")
    assert in_window(server, known) == changes.Found(0, 0, walked=False)
    for _ in range(2):
        with pytest.raises(Problem, match="2 files of the local copy .*the bucket serves -- .*unresolved.txt"):
            changes.verify(server.run(), server.store)
        assert server.bucket.objects == FILES
        assert (server.layout.var / "unresolved.txt").read_text() == "local_content/zz/zz/late\none/deep\n"
        with server.agent.manifest() as manifest:
            # No proof may hold it against its old content; and it is no stranger's.
            assert {path for path, _ in manifest.sample(100, 1 << 20)} == FILES.keys() - {"one/deep"}
            assert manifest.uploaded_count() == len(FILES)


def test_once_what_was_missed_is_in_the_bucket_or_may_go_the_walk_is_content(server: Machine) -> None:
    mirrored(server)
    rewrite(server, "one/deep", b"DEEP")
    server.write("local_content/zz/zz/late", b"late")
    server.bucket.objects["one/deep"] = b"DEEP"
    server.tell(migration={"confirmed": ["local_content/zz/zz/late"]})
    changes.verify(server.run(), server.store)
    with server.agent.manifest() as manifest:
        assert manifest.knows("one/deep") and not manifest.knows("local_content/zz/zz/late")


def test_media_purged_since_the_window_are_no_matter_for_the_walk_after_it(server: Machine) -> None:
    mirrored(server)
    (server.store / "one/deep").chmod(0o600)  # it looks changed
    del server.bucket.objects["one/deep"]
    changes.verify(server.run(), server.store)
    assert "one/deep" not in server.bucket.objects


def test_a_file_whose_rights_changed_since_the_window_is_read_and_not_sent(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirrored(server)
    monkeypatch.setattr(server.copier, "upload", lambda *_: pytest.fail("sent"))
    for path in FILES:
        (server.store / path).chmod(0o600)
    changes.verify(server.run(), server.store)
    changes.verify(server.run(), server.store)
