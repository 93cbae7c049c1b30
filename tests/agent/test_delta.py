"""What changed since the comparison: found by one walk, proven for these files alone."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path

import pytest

from agent import content, copying, delta, mirror, snapshot
from agent.errors import Problem
from agent.listener import Listener
from agent.snapshot import Snapshot
from agent.system import CommandFailed
from agent.tree import Entry, look, walk

from .conftest import Server

FILES = {
    f"local_content/{one}{two}/cc/{number}": b"%d" % number for number, (one, two) in enumerate(["aa", "ab", "ba"])
}
FILES |= {"local_thumbnails/aa/bb/one/32-32-image-png-crop": b"small", "at the top": b"top", "one/deep": b"deep"}


def fill(server: Server) -> None:
    for path, body in FILES.items():
        server.write(path, body)


class Told(Listener):
    """A listener that heard of these paths; or lost some."""

    def __init__(self, *paths: str, lost: bool = False) -> None:
        self.paths = None if lost else set(paths)

    def changed(self) -> set[str] | None:
        return self.paths


def mirrored(server: Server, listener: Told | None = None) -> delta.Known:
    """The server's store is in the bucket; what is known of it."""
    fill(server)
    context = server.context()
    mirror.mirror(context)
    return delta.before_window(context, listener)[1]


def counts(server: Server, known: delta.Known) -> tuple[int, int]:
    """How many files changed and how many were removed in the window."""
    found = delta.in_window(server.context(), known)
    return found["changed"], found["removed"]


def rewrite(server: Server, path: str, body: bytes) -> None:
    """Other content of the same size, and the time of the last change as it was."""
    file = server.store / path
    info = file.stat()
    file.write_bytes(body)
    os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))


def without_find(monkeypatch, how: str) -> None:
    """A server on which find is used as it is, is missing, fails, or has other words for the same."""
    if how == "missing":
        monkeypatch.setattr(snapshot, "_find", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError("find")))
    elif how == "failing":
        monkeypatch.setattr(snapshot, "FORMAT", "%")
    elif how == "of other words":
        monkeypatch.setattr(snapshot, "FORMAT", snapshot.FORMAT.replace("%i", "0%i"))


@pytest.mark.parametrize("find", ["as it is", "missing", "failing", "of other words"])
def test_a_walk_tells_what_is_new_rewritten_or_moved_and_counts_the_rest(server, monkeypatch, find):
    without_find(monkeypatch, find)
    fill(server)
    before = Snapshot(walk(server.store, []))
    assert before.compare(server.store, []) == ([], len(FILES))
    server.write("local_content/aa/cc/new", b"new")
    rewrite(server, "one/deep", b"DEEP")
    os.rename(server.store / "at the top", server.store / "moved")
    os.unlink(server.store / "local_content/ab/cc/1")
    changed, same = before.compare(server.store, [])
    assert sorted(entry.path for entry in changed) == ["local_content/aa/cc/new", "moved", "one/deep"]
    assert set(changed) <= set(walk(server.store, []))
    assert same == len(FILES) - 3
    assert before.compare(server.store, ["local_content"])[1] == 1, "what is left out is not walked"


def test_find_does_the_walk_where_it_can(server, monkeypatch):
    fill(server)
    before = Snapshot(walk(server.store, []))
    monkeypatch.setattr(snapshot, "walk", None)
    assert before.compare(server.store, []) == ([], len(FILES))


@pytest.mark.parametrize("name", ["a b", "-name", "$(x)", "%p\\0", "caf\u00e9", "tab\there"])
@pytest.mark.parametrize("time", [0, 1, -1_500_000_000, 1_700_000_000_000_000_007])
def test_whatever_a_file_is_called_and_however_old_it_is_find_says_the_same_of_it(server, monkeypatch, name, time):
    file = server.store / name / name / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    os.utime(file, ns=(0, time))
    monkeypatch.setattr(snapshot, "walk", None)
    entries = list(walk(server.store, []))
    changed, same = Snapshot(entries).compare(server.store, [])
    # Before 1970 find writes the fraction otherwise: such a file is looked at again, and is the same.
    assert (changed, same) == ([], 1) or (time < 0 and changed == entries)


def test_a_link_is_a_problem_with_its_remedy(server):
    fill(server)
    before = Snapshot(walk(server.store, []))
    (server.store / "local_content/aa/link").symlink_to("cc")
    with pytest.raises(Problem, match="a link.* -- replace it"):
        before.compare(server.store, [])


def test_many_folders_are_shared_between_several_finds(server, monkeypatch):
    monkeypatch.setattr(snapshot, "FOLDERS", 2)
    for number in range(9):
        server.write(f"remote_content/server{number}/aa/bb/c", b"x")
    before = Snapshot(walk(server.store, []))
    server.write("remote_content/server7/aa/bb/d", b"y")
    changed, same = before.compare(server.store, [])
    assert [entry.path for entry in changed] == ["remote_content/server7/aa/bb/d"] and same == 9


def test_marks_without_pythons_own_hash_tell_the_same(server, monkeypatch):
    monkeypatch.setattr(snapshot, "_mark", snapshot._digest)
    fill(server)
    before = Snapshot(walk(server.store, []))
    rewrite(server, "one/deep", b"DEEP")
    changed, same = before.compare(server.store, [])
    assert [entry.path for entry in changed] == ["one/deep"] and same == len(FILES) - 1


def test_the_time_for_the_window_bounds_reading_too(server):
    known = mirrored(server)
    server.write("local_content/zz/zz/late", b"late")
    context = server.context()
    context.deadline = 0.0
    with pytest.raises(Problem, match="did not arrive within"):
        delta.in_window(context, known)
    assert "local_content/zz/zz/late" not in server.bucket.objects


def test_what_was_read_before_the_window_is_not_read_again_in_it(server, monkeypatch):
    fill(server)
    mirror.mirror(server.context())
    server.write("local_content/zz/zz/late", b"late")
    with monkeypatch.context() as patch:
        patch.setattr(copying, "upload", lambda *_: None)
        _, known = delta.before_window(server.context(), None)
    monkeypatch.setattr(content, "checksums", lambda *_: pytest.fail("read again"))
    assert counts(server, known) == (1, 0)


def test_a_file_that_cannot_be_read_does_not_keep_the_others_and_is_named(server, monkeypatch):
    fill(server)
    real = content.checksums

    def unreadable(path, size):
        if path.name == "deep":
            raise OSError(errno.EIO, "Input/output error")
        return real(path, size)

    monkeypatch.setattr(content, "checksums", unreadable)
    with pytest.raises(Problem, match="1 files are not equal.*'one/deep' first"):
        mirror.mirror(server.context())
    assert server.bucket.objects.keys() >= FILES.keys() - {"one/deep"}


def test_a_file_system_mounted_inside_the_store_is_refused(server):
    fill(server)
    with pytest.raises(Problem, match="one is another file system .* -- move its files"):
        look(server.store, "one", [], device=-1)


def test_the_window_proves_what_came_since_and_asks_for_no_listing(server, monkeypatch):
    known = mirrored(server)
    monkeypatch.setattr(server.bucket, "list", lambda *a, **b: pytest.fail("a listing in the window"))
    server.write("local_content/zz/zz/late", b"late")
    rewrite(server, "one/deep", b"DEEP")
    assert counts(server, known) == (2, 0)
    assert server.bucket.objects == FILES | {"local_content/zz/zz/late": b"late", "one/deep": b"DEEP"}
    with server.context().manifest() as manifest:
        assert manifest.known() == (len(FILES) + 1, sum(map(len, FILES.values())) + len(b"late"))
        assert manifest.ours() == len(FILES) + 1


def test_a_file_purged_since_leaves_the_bucket_too_and_is_forgotten(server):
    known = mirrored(server)
    os.unlink(server.store / "one/deep")
    server.write("local_content/zz/zz/late", b"late")
    assert counts(server, known) == (1, 1)
    assert "one/deep" not in server.bucket.objects
    with server.context().manifest() as manifest:
        assert manifest.gone_locally() == [] and manifest.lost_remotely() == []
        assert manifest.known()[0] == len(FILES)


@pytest.mark.parametrize("listener", [None, Told(*FILES)], ids=["found by a walk", "told of"])
def test_many_files_gone_since_stop_the_window_before_anything_is_removed(server, listener):
    known = mirrored(server, listener)
    for path in FILES:
        os.unlink(server.store / path)
    with pytest.raises(Problem, match="gone from the local store"):
        delta.in_window(server.context(), known)
    assert server.bucket.objects == FILES


def test_what_could_not_be_sent_before_the_window_is_sent_in_it(server, monkeypatch):
    fill(server)
    mirror.mirror(server.context())
    server.write("local_content/zz/zz/late", b"late")
    with monkeypatch.context() as patch:

        def fail(*_):
            raise CommandFailed(["rclone"], 1, "the store was busy")

        patch.setattr(copying, "upload", fail)
        came, known = delta.before_window(server.context(), None)
    assert came == 1 and "local_content/zz/zz/late" not in server.bucket.objects
    assert counts(server, known) == (1, 0)
    assert server.bucket.objects["local_content/zz/zz/late"] == b"late"


def test_a_file_that_arrives_damaged_in_the_window_is_a_problem(server, monkeypatch):
    known = mirrored(server)
    server.write("local_content/zz/zz/late", b"late")
    monkeypatch.setattr(copying, "upload", lambda *_: server.bucket.put("local_content/zz/zz/late", b"lat3"))
    with pytest.raises(Problem, match="1 files changed lately are not equal.*late"):
        delta.in_window(server.context(), known)


def test_a_large_first_copy_goes_in_lots_and_says_how_far_the_whole_is(server, monkeypatch):
    monkeypatch.setattr(mirror, "LOT_FILES", 2)
    fill(server)
    lots, lines = [], []
    real = copying.upload

    def upload(context, source, entries, progress, method):
        lots.append(len(entries))
        progress.add(len(entries), 0)
        lines.append(progress.line(0, 0).partition(",")[0])
        real(context, source, entries, progress, method)

    monkeypatch.setattr(copying, "upload", upload)
    mirror.mirror(server.context())
    assert lots == [2, 2, 2]
    assert lines == ["copied 2 of 6 files", "copied 4 of 6 files", "copied 6 of 6 files"]
    assert server.bucket.objects == FILES


def test_a_store_that_is_gone_ends_the_copy_after_the_first_lot(server, monkeypatch):
    monkeypatch.setattr(mirror, "LOT_FILES", 1)
    fill(server)
    tried = []

    def fail(context, source, entries, progress, method):
        tried.extend(entries)
        monkeypatch.setattr(server.bucket, "list", refuse)
        raise CommandFailed(["rclone"], 1, "connection refused")

    def refuse(*_, **__):
        raise OSError("connection refused")

    monkeypatch.setattr(copying, "upload", fail)
    with pytest.raises(OSError, match="connection refused"):
        mirror.mirror(server.context())
    assert len(tried) == 1


def test_files_that_go_in_parts_are_copied_after_the_others_and_few_at_once(server, monkeypatch):
    monkeypatch.undo()
    calls = []

    def follow(argv, progress, context, deadline):
        names = argv[argv.index("--files-from-raw") + 1]
        calls.append((Path(names).read_text().split(), argv[argv.index("--transfers") + 1]))
        if len(calls) == 1:
            raise CommandFailed(["rclone"], 1, "one file vanished")

    monkeypatch.setattr(copying, "_follow", follow)
    entries = [Entry(name, size, 0, 0, 0) for name, size in [("a", 1), ("b", 64 << 20), ("c", (64 << 20) - 1)]]
    progress = copying.Progress(3, 128 << 20)
    with pytest.raises(CommandFailed, match="one file vanished"):
        copying.upload(server.context(), server.store, entries, progress, "rclone")
    assert calls == [(["a", "c"], "32"), (["b"], "4")]
    assert progress.done == 3
    assert [path for path in server.places.var.iterdir() if path.name.startswith("names-")] == []


class Store:
    """A store that answers as it is told."""

    def __init__(self, *answers: bool) -> None:
        self.left = list(answers)

    def answers(self) -> bool:
        return self.left.pop(0)


@pytest.mark.parametrize(
    ("answers", "given_up"),
    [((False,) * 6, True), (((False,) * 5 + (True,)) * 2, False), ((True,) * 9, False)],
)
def test_a_copy_is_given_up_only_when_nothing_gets_done_and_the_store_is_silent(monkeypatch, answers, given_up):
    now = [0.0]
    monkeypatch.setattr(copying.time, "monotonic", lambda: now[0])
    store = Store(*answers)
    watch = copying._Watch(store)  # type: ignore[arg-type]
    now[0] = copying.STUCK_SECONDS + 1
    assert not watch.in_vain(5), "files get done: nobody is asked"
    now[0] *= 2.5
    assert any(watch.in_vain(5) for _ in answers) == given_up
    assert store.left == []


def test_what_the_kernel_tells_of_is_proven_without_a_walk(server, monkeypatch):
    told = Told("local_content/zz/zz/late", "one/deep")
    known = mirrored(server, told)
    monkeypatch.setattr(delta, "walk", lambda *_: pytest.fail("a walk in the window"))
    monkeypatch.setattr(Snapshot, "compare", lambda *_: pytest.fail("a walk in the window"))
    server.write("local_content/zz/zz/late", b"late")
    rewrite(server, "one/deep", b"DEEP")
    assert counts(server, known) == (2, 0)
    assert server.bucket.objects == FILES | {"local_content/zz/zz/late": b"late", "one/deep": b"DEEP"}


def test_a_folder_that_the_kernel_tells_of_stands_for_all_below_it(server):
    known = mirrored(server, Told("moved", "local_thumbnails"))
    os.rename(server.store / "local_thumbnails", server.store / "moved")
    assert counts(server, known) == (1, 1)
    thumbnail = "aa/bb/one/32-32-image-png-crop"
    assert f"moved/{thumbnail}" in server.bucket.objects
    assert f"local_thumbnails/{thumbnail}" not in server.bucket.objects


def test_names_that_only_begin_alike_stay_where_a_folder_goes(server):
    for beside in ("one.more", "one-more", "one0", "onemore/deep"):
        server.write(beside, b"beside")
    known = mirrored(server, Told("one"))
    os.rename(server.store / "one", server.root / "elsewhere")
    assert counts(server, known) == (0, 1)
    assert server.bucket.objects.keys() == server.tree().keys()


def test_a_file_that_took_a_folders_place_is_sent_and_what_was_in_the_folder_leaves_the_bucket(server):
    known = mirrored(server, Told("one"))
    os.rename(server.store / "one", server.root / "elsewhere")
    server.write("one", b"a file now")
    assert counts(server, known) == (1, 1)
    assert server.bucket.objects == server.tree()


def test_a_file_that_was_told_of_and_is_as_it_was_is_not_sent_again(server, monkeypatch):
    known = mirrored(server, Told("one/deep"))
    monkeypatch.setattr(copying, "upload", lambda *_: pytest.fail("sent again"))
    assert counts(server, known) == (0, 0)


def test_where_the_kernel_lost_something_the_window_walks(server):
    known = mirrored(server, Told(lost=True))
    server.write("local_content/zz/zz/late", b"late")
    assert counts(server, known) == (1, 0)
    assert "local_content/zz/zz/late" in server.bucket.objects


def test_what_is_told_of_in_a_folder_that_is_left_out_stays_out(server):
    known = mirrored(server, Told("url_cache", "url_cache/2026-11-26/x"))
    server.write("url_cache/2026-11-26/x", b"preview")
    assert counts(server, known) == (0, 0)
    assert server.bucket.objects == FILES


def test_a_link_that_was_told_of_is_a_problem_with_its_remedy(server):
    known = mirrored(server, Told("one/link"))
    (server.store / "one/link").symlink_to("deep")
    with pytest.raises(Problem, match="a link.* -- replace it"):
        delta.in_window(server.context(), known)


def test_a_name_that_is_no_utf8_and_is_gone_again_is_no_matter(server):
    known = mirrored(server, Told("one/\udcff"))
    assert counts(server, known) == (0, 0)


def test_what_was_not_equal_before_the_window_is_proven_in_it_though_nobody_tells_of_it(server, monkeypatch):
    fill(server)
    mirror.mirror(server.context())
    server.write("local_content/zz/zz/late", b"late")
    with monkeypatch.context() as patch:
        patch.setattr(copying, "upload", lambda *_: None)
        _, known = delta.before_window(server.context(), Told())
    assert counts(server, known) == (1, 0)
    assert server.bucket.objects["local_content/zz/zz/late"] == b"late"


def test_a_store_with_hard_links_is_walked_in_the_window(server):
    fill(server)
    os.link(server.store / "one/deep", server.root / "a link outside")
    mirror.mirror(server.context())
    _, known = delta.before_window(server.context(), Told())
    (server.root / "a link outside").write_bytes(b"DEEP")
    assert delta.in_window(server.context(), known) == {"changed": 1, "removed": 0, "walked": True}
    assert server.bucket.objects["one/deep"] == b"DEEP"


def test_a_walk_after_the_window_names_what_nobody_told_of_and_sends_nothing(server):
    known = mirrored(server, Told())
    server.write("local_content/zz/zz/late", b"late")
    rewrite(server, "one/deep", b"DEEP")
    assert delta.in_window(server.context(), known) == {"changed": 0, "removed": 0, "walked": False}
    for _ in range(2):
        with pytest.raises(Problem, match="2 files of the local copy .*the bucket serves -- .*unresolved.txt"):
            delta.verify(server.context(), server.store)
        assert server.bucket.objects == FILES
        assert (server.places.var / "unresolved.txt").read_text() == "local_content/zz/zz/late\none/deep\n"
        with server.context().manifest() as manifest:
            # No proof may hold it against its old content; and it is no stranger's.
            assert {path for path, _ in manifest.sample(100, 1 << 20)} == FILES.keys() - {"one/deep"}
            assert manifest.ours() == len(FILES)


def test_once_what_was_missed_is_in_the_bucket_or_may_go_the_walk_is_content(server):
    mirrored(server)
    rewrite(server, "one/deep", b"DEEP")
    server.write("local_content/zz/zz/late", b"late")
    server.bucket.objects["one/deep"] = b"DEEP"
    migration = dataclasses.replace(server.settings.migration, confirmed=["local_content/zz/zz/late"])
    server.settings = dataclasses.replace(server.settings, migration=migration)
    delta.verify(server.context(), server.store)
    with server.context().manifest() as manifest:
        assert manifest.knows("one/deep") and not manifest.knows("local_content/zz/zz/late")


def test_media_purged_since_the_window_are_no_matter_for_the_walk_after_it(server):
    mirrored(server)
    (server.store / "one/deep").chmod(0o600)  # it looks changed
    del server.bucket.objects["one/deep"]
    delta.verify(server.context(), server.store)
    assert "one/deep" not in server.bucket.objects


def test_a_file_whose_rights_changed_since_the_window_is_read_and_not_sent(server, monkeypatch):
    mirrored(server)
    monkeypatch.setattr(copying, "upload", lambda *_: pytest.fail("sent"))
    for path in FILES:
        (server.store / path).chmod(0o600)
    delta.verify(server.context(), server.store)
    delta.verify(server.context(), server.store)
