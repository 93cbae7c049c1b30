"""What lies on disk is believed more than a journal that is gone or older than that."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from agent.host.beneath import Folder
from agent.migration import evidence, recovery
from agent.model.errors import Problem
from agent.model.layout import MOUNT_UNIT
from agent.model.phases import Owed, Phase, Side, Stage, Window
from agent.serving import guard
from agent.setup import local_store
from agent.state import local_copy
from agent.state.journal import Journal, Lost
from agent.state.run import Run, keep_settings

from .conftest import Machine
from .fakes import SYNAPSE
from .moves import FILES, fill, go


def run(server: Machine) -> Run:
    """A run as the agent begins it: by what lies on disk."""
    return server.run(evidence.journal_of(server.agent))


def laid(server: Machine) -> None:
    """Something of ours was laid on the server."""
    keep_settings(server.layout, {"host": {"stack": "test"}})


def journal_as_it_was(server: Machine, phase: str, then: str) -> None:
    """The disk of the agent's own files is set back to what it was in `phase`; the media's disk is not."""
    laid(server)
    fill(server)
    go(server, phase)
    kept = server.layout.journal.read_text()
    go(server, then)
    server.layout.journal.write_text(kept)
    server.reboot()


@pytest.mark.parametrize(("then", "owed_phase"), [("live", Phase.LIVE), ("clean", Phase.CLEAN)])
def test_a_journal_older_than_the_swap_does_not_start_the_homeserver_over_the_bare_mount_point(
    server: Machine, then: str, owed_phase: Phase
) -> None:
    """Review, entry 15."""
    journal_as_it_was(server, "mirror", then)
    assert "is not the local media store" in guard.reason_to_wait(server.agent, server.journal)
    recovery.recover(run(server), boot=True)
    journal = server.journal
    assert (journal.serving, journal.phase, Owed.PROOF in journal.owed) == (Side.BUCKET, owed_phase, True)
    assert MOUNT_UNIT in server.system.active
    assert not guard.reason_to_wait(server.agent, journal)
    go(server, "live")
    go(server, "mirror")
    assert server.tree().items() >= FILES.items()


def test_a_journal_older_than_the_way_home_does_not_mount_over_the_local_store(server: Machine) -> None:
    """Review, entry 15."""
    journal_as_it_was(server, "live", "mirror")
    recovery.recover(run(server), boot=True)
    journal = server.journal
    assert (journal.serving, journal.phase) == (Side.LOCAL, Phase.MIRROR)
    assert not guard.reason_to_wait(server.agent, journal) and MOUNT_UNIT not in server.system.active


def test_a_local_copy_that_somebody_moved_back_by_hand_does_not_serve(server: Machine) -> None:
    """It lacks what came while the bucket served."""
    laid(server)
    fill(server)
    go(server, "live")
    server.system.mounts.clear()
    server.store.rmdir()
    server.backup.rename(server.store)
    assert evidence.journal_of(server.agent).serving is Side.BUCKET
    assert guard.reason_to_wait(server.agent, server.journal)


def test_another_folder_in_the_mount_points_place_is_no_local_copy(server: Machine) -> None:
    laid(server)
    fill(server)
    go(server, "live")
    server.system.mounts.clear()
    server.store.rmdir()
    server.store.mkdir()
    (server.store / ".matrix-media-store").mkdir()
    (server.store / ".matrix-media-store" / local_copy.TOKEN).write_text(
        '{"generation": 99, "store": {"token": "guessed"}}'
    )
    os.chown(server.store / ".matrix-media-store" / local_copy.TOKEN, 60_123, 60_123)
    assert evidence.journal_of(server.agent).serving is Side.BUCKET


@pytest.mark.parametrize("phase", ["prepare", "mirror", "live", "clean"])
@pytest.mark.parametrize("noted", [True, False], ids=["noted", "in the copy alone"])
def test_a_journal_that_is_lost_is_made_up_of_what_lies_on_the_server(server: Machine, phase: str, noted: bool) -> None:
    """Review, entry 15."""
    laid(server)
    fill(server)
    go(server, phase)
    server.layout.journal.unlink()
    if not noted:
        server.layout.local_store.unlink()
    server.reboot()
    with pytest.raises(Lost, match="journal.json is gone -- run pulumi up: it makes a new one"):
        Journal.load(server.layout)
    if phase == "clean" and not noted:
        with pytest.raises(Problem, match="nothing says whose the media store was -- bring .* back from a backup"):
            run(server)
        return
    recovery.recover(run(server), boot=True)
    journal = server.journal
    serves = {"live": Side.BUCKET, "clean": Side.BUCKET}.get(phase, Side.LOCAL)
    assert journal.serving is serves and str(journal.phase) in (phase, "prepare")
    assert not guard.reason_to_wait(server.agent, journal)
    server.system.active.add(SYNAPSE)
    go(server, "live")


def test_a_server_to_which_nothing_was_done_has_lost_no_journal(server: Machine) -> None:
    server.layout.journal.unlink()
    assert Journal.load(server.layout).phase is Phase.LOCAL


def test_without_the_medias_disk_a_lost_journal_waits(server: Machine) -> None:
    laid(server)
    fill(server)
    go(server, "live")
    server.layout.journal.unlink()
    server.reboot()
    server.store.parent.rename(server.root / "not mounted")
    with pytest.raises(Problem, match="is its disk mounted"):
        run(server)


def test_a_disk_on_which_inodes_follow_from_the_path_brings_the_copy_home(server: Machine) -> None:
    """Review, entry 13: mergerfs and others; here the number in the journal is another one's."""
    fill(server)
    go(server, "live")
    known = server.journal.local_store
    assert known and known.token
    server.hold(Phase.LIVE, Side.BUCKET)
    journal = server.journal
    journal.note_local_copy(known.token, 1)
    journal.save()
    (server.backup / ".matrix-media-store" / local_copy.TOKEN).write_text(json.dumps({"store": {"token": known.token}}))
    go(server, "mirror")
    assert server.tree().items() >= FILES.items()


def test_a_copy_whose_token_somebody_took_away_is_known_by_its_inode(server: Machine) -> None:
    fill(server)
    go(server, "live")
    shutil.rmtree(server.backup / ".matrix-media-store")
    go(server, "mirror")
    assert server.tree().items() >= FILES.items()


def test_a_store_whose_folders_cannot_be_renamed_is_told_before_anything_begins(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Review, entry 13: preflight renames a folder beside the store, and looks again."""
    before = sorted(server.store.parent.iterdir())
    local_store.check_renames(server.agent)
    assert sorted(server.store.parent.iterdir()) == before

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Folder, "rename_entry", refuse)
    with pytest.raises(Problem, match="cannot be renamed: Invalid cross-device link -- "):
        local_store.check_renames(server.agent)
    assert sorted(server.store.parent.iterdir()) == before


def test_the_homeserver_is_held_over_a_journal_that_cannot_be_read_and_recovery_is_asked_for(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Review, entries 14 and 15: whoever waits sees to it that recovery runs."""
    fill(server)
    go(server, "mirror")
    said: list[str] = []
    rounds = iter([False, False, True])
    server.layout.journal.write_text("{")
    monkeypatch.setattr(server.system, "wait_until", lambda condition, *_, **__: (condition(), next(rounds))[1])
    server.system.log.clear()
    guard.hold(server.agent, said.append)
    assert server.system.log == ["start --no-block matrix-media-store-recover.service"] * 2
    assert len(said) == 2 and "is damaged" in said[0]


def test_a_recovery_that_failed_once_is_tried_again_by_the_homeserver_that_waits(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Review, entry 14: the disk comes late."""
    laid(server)
    fill(server)
    go(server, "mirror")
    journal = server.journal
    with Folder.at(server.store) as store:
        local_copy.mark(journal, store)
    journal.save()
    server.hold(Phase.MIRROR, Side.NOBODY, (Window.CUTOVER, Stage.SWAPPING), units=[SYNAPSE])
    server.store.parent.rename(server.root / "not mounted")
    with pytest.raises(Problem, match="is its disk mounted"):
        recovery.recover(server.run(), boot=True)

    def recover(*words: str, **_: object) -> str:
        if words[-1].endswith("recover.service"):
            (server.root / "not mounted").rename(server.store.parent)
            recovery.recover(server.run(), boot=True)
        return ""

    monkeypatch.setattr(server.system, "systemctl", recover)
    guard.hold(server.agent, server.said.append)
    assert server.journal.window is None and server.journal.serving is Side.LOCAL
    assert server.tree().items() >= FILES.items()
