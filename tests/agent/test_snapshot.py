"""The store as it was, against a walk: what is new, rewritten or gone."""

from __future__ import annotations

import os

import pytest

from agent.host.linked import Store
from agent.media import snapshot
from agent.media.snapshot import Snapshot
from agent.media.walk import list_folder, walk
from agent.model.errors import Problem

from .conftest import Machine
from .window_of import FILES, fill, rewrite


def without_find(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A server on which find is used as it is, is missing, fails, or has other words for the same."""
    if how == "missing":
        monkeypatch.setattr(snapshot, "_find", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError("find")))
    elif how == "failing":
        monkeypatch.setattr(snapshot, "FORMAT", "%")
    elif how == "of other words":
        monkeypatch.setattr(snapshot, "FORMAT", snapshot.FORMAT.replace("%i", "0%i"))


@pytest.mark.parametrize("find", ["as it is", "missing", "failing", "of other words"])
def test_a_walk_tells_what_is_new_rewritten_or_moved_and_counts_the_rest(
    server: Machine, monkeypatch: pytest.MonkeyPatch, find: str
) -> None:
    without_find(monkeypatch, find)
    fill(server)
    before = Snapshot(walk(server.store, []), server.journal.owner)
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


def test_find_does_the_walk_where_it_can(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(server)
    before = Snapshot(walk(server.store, []), server.journal.owner)
    monkeypatch.setattr(snapshot, "walk", None)
    assert before.compare(server.store, []) == ([], len(FILES))


@pytest.mark.parametrize("name", ["a b", "-name", "$(x)", "%p\\0", "caf\u00e9", "tab\there"])
@pytest.mark.parametrize("changed_at", [0, 1, -1_500_000_000, 1_700_000_000_000_000_007])
def test_whatever_a_file_is_called_and_however_old_it_is_find_says_the_same_of_it(
    server: Machine, monkeypatch: pytest.MonkeyPatch, name: str, changed_at: int
) -> None:
    file = server.store / name / name / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    os.utime(file, ns=(0, changed_at))
    monkeypatch.setattr(snapshot, "walk", None)
    entries = list(walk(server.store, []))
    changed, same = Snapshot(entries, server.journal.owner).compare(server.store, [])
    # Before 1970 find writes the fraction otherwise: such a file is looked at again, and is the same.
    assert (changed, same) == ([], 1) or (changed_at < 0 and changed == entries)


def test_a_link_is_a_problem_with_its_remedy(server: Machine) -> None:
    fill(server)
    before = Snapshot(walk(server.store, []), server.journal.owner)
    (server.store / "local_content/aa/link").symlink_to("cc")
    with pytest.raises(Problem, match="a link.* -- see .* more than one disk"):
        before.compare(server.store, [])


def test_many_folders_are_shared_between_several_finds(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "FOLDERS", 2)
    for number in range(9):
        server.write(f"remote_content/server{number}/aa/bb/c", b"x")
    before = Snapshot(walk(server.store, []), server.journal.owner)
    server.write("remote_content/server7/aa/bb/d", b"y")
    changed, same = before.compare(server.store, [])
    assert [entry.path for entry in changed] == ["remote_content/server7/aa/bb/d"] and same == 9


def test_marks_without_pythons_own_hash_tell_the_same(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_mark", snapshot._digest)
    fill(server)
    before = Snapshot(walk(server.store, []), server.journal.owner)
    rewrite(server, "one/deep", b"DEEP")
    changed, same = before.compare(server.store, [])
    assert [entry.path for entry in changed] == ["one/deep"] and same == len(FILES) - 1


class OnAnotherDisk(Store):
    """The store's own folder is on another file system than what is in it."""

    def device_of(self, path: str) -> int:
        return -1


def test_a_file_system_mounted_inside_the_store_is_refused(server: Machine) -> None:
    fill(server)
    with pytest.raises(Problem, match="one is another file system .* -- move its files"):
        list_folder(OnAnotherDisk.at(server.store), "one", [])
