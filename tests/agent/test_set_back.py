"""A journal that is lost or set back, and a disk that is not there: neither an old copy nor an empty folder serves."""

from __future__ import annotations

import pytest

from agent.host.beneath import Folder
from agent.migration import evidence, recovery
from agent.model.layout import MOUNT_UNIT, PLAYBOOK_UNIT
from agent.model.phases import Side
from agent.serving import guard
from agent.state import local_copy

from .conftest import Machine
from .moves import FILES, fill, go
from .test_evidence import laid, run


def moved_back_by_hand(server: Machine) -> None:
    server.system.mounts.clear()
    server.store.rmdir()
    server.backup.rename(server.store)


@pytest.mark.parametrize("happened", ["journal lost", "journal set back", "power lost after the mark"])
def test_an_old_copy_moved_back_by_hand_does_not_serve_whatever_became_of_the_journal(
    server: Machine, happened: str
) -> None:
    laid(server)
    fill(server)
    go(server, "mirror")
    first = server.layout.journal.read_text()
    for phase in ("live", "mirror", "live"):
        go(server, phase)
    if happened == "journal lost":
        server.layout.journal.unlink()
    elif happened == "journal set back":
        server.layout.journal.write_text(first)
    else:
        journal = server.journal  # it is not saved
        with Folder.at(server.backup) as copy:
            local_copy.mark(journal, copy)
            assert local_copy.is_it(copy, server.journal.local_store), "the inode tells"
    recovery.recover(run(server), boot=True)
    assert server.journal.serving is Side.BUCKET
    moved_back_by_hand(server)
    assert evidence.journal_of(server.agent).serving is Side.BUCKET


def test_a_mount_point_beneath_a_disk_that_comes_late_does_not_overrule_the_journal(server: Machine) -> None:
    laid(server)
    fill(server)
    for phase in ("live", "mirror"):
        go(server, phase)
    server.store.parent.rename(server.root / "the disk")
    server.store.parent.mkdir()
    server.make_mount_point()
    assert evidence.journal_of(server.agent).serving is Side.LOCAL
    assert guard.reason_to_wait(server.agent, server.journal)


def test_an_empty_folder_in_the_place_of_a_store_that_is_known_does_not_serve(server: Machine) -> None:
    laid(server)
    fill(server)
    for phase in ("live", "mirror"):
        go(server, phase)
    server.store.rename(server.root / "the disk's")
    server.store.mkdir()
    assert "is empty: is its disk mounted?" in guard.reason_to_wait(server.agent, server.journal)


def test_a_journal_set_back_to_live_finds_the_store_that_is_home_in_phase_local(server: Machine) -> None:
    laid(server)
    fill(server)
    go(server, "live")
    kept = server.layout.journal.read_text()
    for phase in ("mirror", "prepare", "local"):
        go(server, phase)
    server.write("local_content/aa/bb/since", b"since")
    server.layout.journal.write_text(kept)
    server.reboot()
    recovery.recover(run(server), boot=True)
    assert server.journal.serving is Side.LOCAL and not guard.reason_to_wait(server.agent, server.journal)
    assert server.tree()["local_content/aa/bb/since"] == b"since"


def test_a_journal_lost_over_the_playbooks_mount_says_that_the_bucket_serves(server: Machine) -> None:
    laid(server)
    fill(server)
    go(server, "live")
    server.system.active.discard(MOUNT_UNIT)
    server.system.others[PLAYBOOK_UNIT] = "activating"
    server.layout.journal.unlink()
    assert evidence.journal_of(server.agent).serving is Side.BUCKET


def test_a_journal_lost_between_the_renames_brings_the_copy_home(server: Machine) -> None:
    laid(server)
    fill(server)
    go(server, "live")
    server.system.mounts.clear()
    server.store.rmdir()
    server.layout.journal.unlink()
    recovery.recover(run(server), boot=True)
    assert server.journal.serving is Side.LOCAL and server.tree().items() >= FILES.items()
