"""The store's owner lays links wherever root will come by: nothing outside is read, written, given away or moved."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from agent.host.beneath import Folder
from agent.host.linked import Store
from agent.host.processes import Processes
from agent.media import checksums
from agent.media.equality import Manifest
from agent.media.walk import walk
from agent.migration import pull, unaccounted
from agent.model.errors import Problem
from agent.serving import admission, mount_point

from .conftest import Machine
from .moves import FILES, fill, go

#: Nobody's numbers on this machine.
OWNER = 60_123


class Outside:
    """A folder of root's with a secret, somewhere else."""

    def __init__(self, root: Path) -> None:
        self.folder = root
        (root / "cron.d").mkdir(parents=True)
        self.secret = root / "cron.d/evil"
        self.secret.write_bytes(b"root's own")
        self.secret.chmod(0o600)
        self.before = self.seen()

    def seen(self) -> list[tuple[str, int, int, bytes]]:
        found = []
        for path in sorted([self.folder, *self.folder.rglob("*")]):
            info = path.lstat()
            body = path.read_bytes() if path.is_file() else b""
            found.append((str(path), info.st_uid, info.st_mode, body))
        return found

    def assert_untouched(self) -> None:
        assert self.seen() == self.before


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path / "outside")


@pytest.fixture
def owned(server: Machine) -> Machine:
    """A server whose store belongs to a user of its own; copies have that user's rights."""
    fill(server)
    for path in [server.store.parent, server.store, *server.store.rglob("*")]:
        os.chown(path, OWNER, OWNER)
    for folder in server.store.parents:
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)  # as /matrix lets its own user pass
    journal = server.journal
    assert journal.local_store
    object.__setattr__(journal.local_store, "uid", OWNER)
    object.__setattr__(journal.local_store, "gid", OWNER)
    journal.save()
    real = server.copier.download

    def download(target: Path, *rest: Any) -> None:
        Processes().as_user(OWNER, OWNER, lambda: real(target, *rest))

    server.copier.download = download  # type: ignore[method-assign,assignment]
    return server


def incoming(server: Machine) -> Path:
    return server.backup.with_name(server.backup.name + ".incoming")


def test_a_work_folder_that_is_a_link_is_refused_and_the_bucket_serves_on(owned: Machine, outside: Outside) -> None:
    """Review, entry 1."""
    go(owned, "live")
    owned.bucket.put("local_content/aa/bb/new", b"new")
    incoming(owned).symlink_to(outside.folder)
    with pytest.raises(Problem, match=r"local-backup.incoming is no folder, .* -- look what it is and move it away"):
        go(owned, "mirror")
    outside.assert_untouched()
    assert owned.journal.phase == "live" and owned.journal.window is None
    incoming(owned).unlink()
    go(owned, "mirror")
    assert owned.tree()["local_content/aa/bb/new"] == b"new"


def test_a_refilled_copy_that_is_a_link_is_refused(owned: Machine, outside: Outside) -> None:
    """Review, entry 1."""
    go(owned, "clean")
    owned.backup.with_name(owned.backup.name + ".incomplete").symlink_to(outside.folder)
    with pytest.raises(Problem, match="incomplete is no folder"):
        go(owned, "mirror")
    outside.assert_untouched()


def test_a_refilled_copy_is_roots_until_it_is_whole(owned: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can change what was compared; it is given away last."""
    go(owned, "clean")
    incomplete = owned.backup.with_name(owned.backup.name + ".incomplete")
    real, seen = owned.system.sync, []

    def sync() -> None:
        if incomplete.exists():
            seen.append((incomplete.stat().st_uid, incomplete.stat().st_mode & 0o777))
        real()

    monkeypatch.setattr(owned.system, "sync", sync)
    go(owned, "live")
    assert seen and set(seen) == {(os.geteuid(), 0o700)}
    assert (owned.backup.stat().st_uid, owned.backup.stat().st_mode & 0o777) == (OWNER, 0o750)


def test_what_is_fetched_goes_nowhere_else_by_a_link_laid_before(owned: Machine, outside: Outside) -> None:
    """Review, entry 2: root's program wrote root's file, and an existing one was carried off."""
    go(owned, "live")
    owned.bucket.put("local_content/cron.d/evil", b"* * * * * root evil")
    arriving = incoming(owned) / pull.ARRIVING
    arriving.mkdir(parents=True)
    (arriving / "local_content").symlink_to(outside.folder)
    for path in (incoming(owned), arriving):
        os.chown(path, OWNER, OWNER)
    with pytest.raises((Problem, OSError)):
        go(owned, "mirror")
    outside.assert_untouched()


def test_a_file_that_became_a_link_after_its_checksum_is_not_given_away(
    owned: Machine, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Review, entry 3."""
    go(owned, "live")
    owned.bucket.put("local_content/aa/bb/new", b"new")
    real = checksums.checksums

    def then_a_link(file: IO[bytes], *size: Any) -> tuple[str, str]:
        found = real(file, *size)
        path = Path(os.readlink(f"/proc/self/fd/{file.fileno()}"))
        if pull.ARRIVING in path.parts:
            path.unlink()
            path.symlink_to(outside.secret)
        return found

    monkeypatch.setattr(checksums, "checksums", then_a_link)
    with pytest.raises((Problem, OSError)):
        go(owned, "mirror")
    outside.assert_untouched()


def swap(folder: Path, target: Path) -> None:
    folder.rename(folder.with_name(f"{folder.name}.real"))
    folder.symlink_to(target)


def test_a_folder_of_the_copy_that_became_a_link_takes_no_file_elsewhere(
    owned: Machine, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Review, entry 4."""
    go(owned, "live")
    owned.bucket.put("local_content/cron.d/new", b"new")
    real = pull._check_space

    def then_a_link(*given: Any) -> None:
        real(*given)
        swap(owned.backup / "local_content", outside.folder)

    monkeypatch.setattr(pull, "_check_space", then_a_link)
    with pytest.raises((Problem, OSError)):
        go(owned, "mirror")
    outside.assert_untouched()


def test_what_is_set_aside_goes_nowhere_else_by_a_link_laid_before(owned: Machine, outside: Outside) -> None:
    """Review, entry 4: a dated folder's name, and a folder that became a link."""
    go(owned, "live")
    owned.tell(migration={"deletion_limit_percent": 100.0})
    run = owned.run()
    with owned.agent.manifest() as manifest:
        manifest.load_local(walk(owned.backup, []))
        manifest.load_remote([])
    when = time.strftime("%Y%m%d-%H%M%S", time.localtime(run.started))
    dated = owned.store.with_name(f"{owned.store.name}-removed-{when}")
    dated.symlink_to(outside.folder)
    with owned.agent.manifest() as manifest, Store.at(owned.backup) as copy:
        with pytest.raises(Problem, match="is no folder"):
            unaccounted.set_aside_here(run, manifest, copy, manifest.gone_remotely())
        dated.unlink()
        swap(owned.backup / "local_content", outside.folder)
        with pytest.raises((Problem, OSError)):
            unaccounted.set_aside_here(run, manifest, copy, manifest.gone_remotely())
    outside.assert_untouched()


def test_a_folder_of_the_store_that_became_a_link_is_not_read(
    owned: Machine, outside: Outside, manifest_of: Callable[[Machine], Manifest]
) -> None:
    """Review, entry 5: what root alone may read must not arrive in the bucket."""
    entries = list(walk(owned.store, []))
    swap(owned.store / "local_content", outside.folder)
    (outside.folder / "aa/bb").mkdir(parents=True)
    (outside.folder / "aa/bb/one").write_bytes(b"one")
    manifest = manifest_of(owned)
    checksums.checksum_files(manifest, owned.store, entries)
    known = {entry.path for entry, _, _ in manifest.checksums(entries)}
    assert known and not any(path.startswith("local_content") for path in known)
    with pytest.raises(Problem, match="is a link within the media store"):
        list(walk(owned.store, []))


@pytest.fixture
def manifest_of() -> Callable[[Machine], Manifest]:
    return lambda server: server.agent.manifest()


def test_the_bucket_is_mounted_over_our_mount_point_and_nothing_else(owned: Machine, outside: Outside) -> None:
    """Review, entry 6: the mount point replaced by a link."""
    go(owned, "live")
    owned.system.mounts.clear()
    owned.store.rmdir()
    for replaced_by in ("a link", "a folder of the owner's"):
        if replaced_by == "a link":
            owned.store.symlink_to(outside.folder)
        else:
            owned.store.mkdir()
            os.chown(owned.store, OWNER, OWNER)
        with pytest.raises(Problem, match="is the local media store"):
            admission.check(owned.system, owned.settings, owned.journal, owned.store)
        owned.system.mounts.add(owned.layout.mounting)
        with pytest.raises((Problem, OSError)):
            mount_point.attach(owned.system, owned.layout.mounting, owned.store, lambda: False)
        assert owned.store not in owned.system.mounts
        (owned.store.unlink if owned.store.is_symlink() else owned.store.rmdir)()
    admission.check(owned.system, owned.settings, owned.journal, owned.store)
    assert mount_point.is_bare(owned.system, owned.store), "one that is gone, as from another namespace, is made anew"
    owned.store.parent.rename(owned.root / "the disk")
    owned.store.parent.mkdir()
    with pytest.raises(Problem, match="is the local media store"):
        admission.check(owned.system, owned.settings, owned.journal, owned.store)
    assert not owned.store.exists(), "its disk is not mounted yet"
    outside.assert_untouched()


def test_a_cleaned_copy_with_links_in_it_loses_nothing_elsewhere(owned: Machine, outside: Outside) -> None:
    """Links laid once all was compared: files through them stay, and so does what was not compared."""
    go(owned, "live")
    rename = Folder.rename_entry

    def then_a_link(folder: Folder, name: str, new: str) -> None:
        rename(folder, name, new)
        if new.endswith(".removing"):
            swap(folder.path / new / "local_content", outside.folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Folder, "rename_entry", then_a_link)
        with pytest.raises(Problem, match="came after the comparison"):
            go(owned, "clean")
    outside.assert_untouched()
    assert owned.bucket.objects.items() >= FILES.items()
