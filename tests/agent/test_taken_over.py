"""What the store's owner lays for root to take over is not taken over, and nobody waits for it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.host import mounts
from agent.host.beneath import NEW, Folder
from agent.migration import recovery
from agent.model.errors import Problem
from agent.model.phases import Phase, Side, Stage, Window
from agent.serving import mount_point
from agent.setup import install
from agent.state import local_copy

from .conftest import Machine
from .moves import FILES, fill, go

#: Nobody's number on this machine.
OWNER = 60_123


def test_a_work_folder_is_one_that_root_made_and_nothing_else_becomes_it(tmp_path: Path) -> None:
    """A copy that was renamed to it would be emptied, and what is root's in it would give programs root's rights."""
    theirs, roots = tmp_path / "theirs", tmp_path / "roots"
    theirs.mkdir()
    os.chown(theirs, OWNER, OWNER)
    roots.mkdir(mode=0o755)
    with Folder.at(tmp_path) as parent:
        for name in ("theirs", "roots"):
            with pytest.raises(Problem, match=f"{name} is not one that root made"):
                parent.work_folder(name)
        with parent.work_folder("mine", 0o711) as made:
            assert made.metadata().st_mode & 0o777 == 0o711
        parent.work_folder("mine", 0o711).close()
    assert theirs.stat().st_uid == OWNER


def test_what_lies_where_root_makes_a_folder_is_not_given_away(tmp_path: Path) -> None:
    store, work = tmp_path / "store", tmp_path / "work"
    for folder in (store, work):
        folder.mkdir()
    (store / "local_content").mkdir(mode=0o700)
    with Folder.at(store) as copy, Folder.at(work) as workshop:
        copy.make("local_content/aa/bb", (OWNER, OWNER), 0o750, workshop)
    assert (store / "local_content").stat().st_uid == 0, "one that is there stays as it is"
    for made in ("local_content/aa", "local_content/aa/bb"):
        assert ((store / made).stat().st_uid, (store / made).stat().st_mode & 0o777) == (OWNER, 0o750)
    assert not (work / NEW).exists()


def test_the_mount_point_is_a_new_folder_and_never_what_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Folder.at(tmp_path) as parent:
        mount_point.make(parent, "media-store")
        assert mount_point.is_ours(parent, "media-store")
        (tmp_path / "media-store").rmdir()
        real = os.mkdir

        def then_exchanged(name: str, *mode: int, dir_fd: int) -> None:
            real(name, *mode, dir_fd=dir_fd)
            os.rmdir(name, dir_fd=dir_fd)
            real(name, 0o750, dir_fd=dir_fd)
            os.chown(name, OWNER, OWNER, dir_fd=dir_fd)

        monkeypatch.setattr(os, "mkdir", then_exchanged)
        with pytest.raises(FileExistsError, match="was replaced just now"):
            mount_point.make(parent, "media-store")
    info = (tmp_path / "media-store").stat()
    assert (info.st_uid, info.st_mode & 0o777) == (OWNER, 0o750)


@pytest.mark.parametrize("lay", ["pipe", "link", "deep"])
def test_removing_a_folder_waits_for_nothing_and_follows_nothing(tmp_path: Path, lay: str) -> None:
    place, elsewhere = tmp_path / "place", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    if lay == "pipe":
        os.mkfifo(place)
    elif lay == "link":
        place.symlink_to(elsewhere)
    else:
        with Folder.at(tmp_path) as folder:
            number = os.dup(folder.number)
            for _ in range(3000):  # deeper than any path is long
                os.mkdir("place", dir_fd=number)
                inner = os.open("place", os.O_RDONLY, dir_fd=number)
                os.close(number)
                number = inner
            os.close(number)
    with Folder.at(tmp_path) as folder:
        folder.remove_tree("place")
        assert folder.find("place") is not None, "it stays, and whoever needs the name says so"
    assert (elsewhere / "file").exists()
    if lay == "deep":
        os.system(f"rm -rf {place}")


@pytest.mark.parametrize("token", ["[" * 4000, '{"token": "x"}', "{}", "[]", "\0", '{"store": 5, "generation": "x"}'])
def test_a_token_that_says_nothing_leaves_the_inode_to_tell(server: Machine, token: str) -> None:
    fill(server)
    go(server, "live")
    (server.backup / ".matrix-media-store" / local_copy.TOKEN).write_text(token)
    go(server, "mirror")
    assert server.tree().items() >= FILES.items()


def test_a_token_of_somebody_elses_is_none(server: Machine) -> None:
    fill(server)
    go(server, "live")
    path = server.backup / ".matrix-media-store" / local_copy.TOKEN
    path.write_text(json.dumps({"generation": 10**6, "store": {"token": "theirs"}}))
    os.chown(path, OWNER, OWNER)
    with Folder.at(server.backup) as copy:
        assert local_copy.read(copy) is None and local_copy.generation_of(copy) == 0
    go(server, "mirror")


def test_the_copy_comes_home_though_somebody_lays_files_in_its_place_again_and_again(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "live")
    server.hold(Phase.LIVE, Side.NOBODY, (Window.RESTORE, Stage.SWAPPING))
    real, left = Folder.rename_entry, [5]

    def laid_before(folder: Folder, name: str, new: str) -> None:
        if new == server.store.name and left[0]:
            left[0] -= 1
            server.store.touch()
        real(folder, name, new)

    monkeypatch.setattr(Folder, "rename_entry", laid_before)
    recovery.recover(server.run(), boot=True)
    assert server.tree().items() >= FILES.items() and left == [0]
    assert len(list(server.store.parent.glob("media-store-stray-*"))) == 5


def test_whose_the_store_is_is_decided_once_and_never_root(server: Machine) -> None:
    """Somebody exchanged it for a folder of root's: programs would have root's rights."""
    with pytest.raises(Problem, match="belongs to root"):
        install._local_store(server.run())
    os.chown(server.store, OWNER, OWNER)
    assert install._local_store(server.run()).uid == OWNER


def test_names_of_mounts_are_read_as_the_kernel_writes_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever may mount chooses the name: one with a carriage return, or a blank that is none to the kernel."""
    lines = [
        "36 35 98:0 / /a\rb rw - fuse x rw",
        "37 35 98:1 / /media-store\u00a0x rw - fuse y z rw",
        "38 35 98:2 / /c\\040d rw - ext4 /dev/x rw",
    ]
    path = tmp_path / "mountinfo"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    real = open
    monkeypatch.setattr("builtins.open", lambda name, *rest, **options: real(path, *rest, **options))
    assert [mount.place for mount in mounts.mounts()] == ["/a\rb", "/media-store\u00a0x", "/c d"]
