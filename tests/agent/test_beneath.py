"""Folders of others: only what root alone may have laid is followed, and programs have the owner's rights."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.host.beneath import Folder, target_of
from agent.host.processes import as_owner
from agent.host.system import System

#: Nobody's number on this machine.
OWNER = 60_123


def test_a_program_with_the_owners_rights_reads_nothing_else_and_nobody_reads_its_keys(tmp_path: Path) -> None:
    """Review, entry 5: rclone, rsync and b2 run so, in both directions."""
    secret = tmp_path / "secret"
    secret.write_text("root's own")
    secret.chmod(0o600)
    done = subprocess.run(as_owner(["cat", str(secret)], OWNER, OWNER), capture_output=True)
    assert done.returncode != 0 and done.stdout == b""
    waiting = as_owner(["sh", "-c", "echo; read line"], OWNER, OWNER)
    with subprocess.Popen(
        waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "K": "k"}
    ) as process:
        assert process.stdout and process.stdin
        process.stdout.readline()
        spy = [
            "setpriv",
            f"--reuid={OWNER}",
            f"--regid={OWNER}",
            "--clear-groups",
            "cat",
            f"/proc/{process.pid}/environ",
        ]
        assert subprocess.run(spy, capture_output=True).returncode != 0
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "CapPrm:\t0000000000000000" in status and "Groups:\t \n" in status
        process.stdin.close()


def test_a_link_in_the_mount_points_place_is_never_unmounted_through(tmp_path: Path) -> None:
    """The real system: somebody else's mount stays."""
    other, link = tmp_path / "other", tmp_path / "media-store"
    other.mkdir()
    link.symlink_to(other)
    system = System()
    with Folder.at(other) as point:
        system.cover(point, "size=4k")
    try:
        assert system.layers(other) and not system.mounted(link)
        system.unmount(link)
        assert system.layers(other)
    finally:
        system.unmount(other)
    assert not system.layers(other)


def test_a_mount_is_brought_to_the_very_folder_that_was_looked_at(tmp_path: Path) -> None:
    """The real system: it was moved away and a link laid in its place meanwhile."""
    source, store, victim = tmp_path / "mounting", tmp_path / "media-store", tmp_path / "victim"
    for folder in (source, store, victim):
        folder.mkdir()
    system = System()
    with Folder.at(source) as point:
        system.cover(point, "size=16k")
    (source / "file").write_text("media")
    try:
        with Folder.at(store) as point:
            store.rename(tmp_path / "moved")
            store.symlink_to(victim)
            system.attach(source, point)
        assert list(victim.iterdir()) == [] and (tmp_path / "moved/file").read_text() == "media"
    finally:
        system.unmount(tmp_path / "moved")
        system.unmount(source)


def test_only_root_can_lay_a_link_that_is_followed_on_the_way_to_the_store(tmp_path: Path) -> None:
    """An administrator's link to a big disk is; one in a folder of somebody else's is not."""
    disk, mine, theirs = tmp_path / "disk/media", tmp_path / "mine", tmp_path / "theirs"
    for folder in (disk, mine, theirs):
        folder.mkdir(parents=True)
        folder.chmod(0o755)
    os.chown(theirs, OWNER, OWNER)
    (mine / "matrix").symlink_to("../disk")
    (theirs / "matrix").symlink_to("../disk")
    with Folder.at(mine / "matrix/media") as opened:
        assert opened.metadata().st_ino == disk.stat().st_ino
    with pytest.raises(NotADirectoryError, match="root did not lay"):
        Folder.at(theirs / "matrix/media")
    mine.chmod(0o777)
    with pytest.raises(NotADirectoryError, match="root did not lay"):
        Folder.at(mine / "matrix/media")


@pytest.mark.parametrize("path", ["", "/etc/passwd", "a/../../b", ".", "a//b", ".."])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    with Folder.at(tmp_path) as folder:
        for act in (folder.file, folder.remove_file, folder.remove_empty):
            with pytest.raises(OSError):
                act(path)


def test_a_pipe_in_the_place_of_a_file_makes_nobody_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")
    with Folder.at(tmp_path) as folder, pytest.raises(OSError):
        folder.file("file")


def states_of_children() -> list[str]:
    """The states of what is left of 200 children that answered, and of one that did not."""
    system = System()
    for number in range(200):
        assert system.as_user(os.geteuid(), os.getegid(), lambda number=number: number) == number  # type: ignore[misc]
    with pytest.raises(TimeoutError):
        system.as_user(os.geteuid(), os.getegid(), lambda: time.sleep(60), timeout=0.05)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] for child in children]


def test_no_child_that_answered_is_left_behind() -> None:
    """Review, entry 30: 121 of 200 were.

    They are those of a process as small as the agent: a child of this one, which has all tests, takes far longer.
    """
    program = f"from {__name__} import states_of_children; print(*states_of_children())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert "Z" not in done.stdout.split()


def owned(path: Path, owner: int) -> Path:
    os.chown(path, owner, owner, follow_symlinks=False)
    return path


def link(path: Path, target: Path | str, owner: int = 0) -> Path:
    path.symlink_to(target)
    return owned(path, owner)


def folder(path: Path, owner: int) -> Path:
    path.mkdir(parents=True)
    return owned(path, owner)


def test_a_link_to_the_media_store_is_followed_where_root_laid_it_or_whoever_owns_the_folder(tmp_path: Path) -> None:
    """Review, entry 23: the store on a big disk, and a link where the playbook has it."""
    big = folder(tmp_path / "big/media", OWNER)
    storage = folder(tmp_path / "storage", OWNER)
    assert target_of(link(storage / "of-root", big)) == big
    assert target_of(link(storage / "of-owner", big, OWNER)) == big
    assert target_of(link(storage / "relative", "../big/media", OWNER)) == big
    assert target_of(link(storage / "by-two", storage / "of-root", OWNER)) == big
    assert target_of(big) == big and target_of(storage / "gone") == storage / "gone"


def test_a_link_to_a_folder_of_somebody_elses_is_not_followed(tmp_path: Path) -> None:
    """Else root would move, and give away, whatever the homeserver's user points at."""
    storage = folder(tmp_path / "storage", OWNER)
    for victim in (folder(tmp_path / "roots", 0), folder(tmp_path / "alices", OWNER + 1)):
        path = link(storage / f"to-{victim.name}", victim, OWNER)
        assert target_of(path) == path
        again = link(storage / f"roots-to-{victim.name}", path)
        assert target_of(again) == again, "nor by a second link"
    loop = link(storage / "loop", storage / "loop", OWNER)
    assert target_of(loop) == loop
