"""Changed settings and keys of the mount: tried first, taken back where they do not serve."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.host import ids
from agent.migration import remount
from agent.model.errors import Problem
from agent.model.items import ServerIds
from agent.model.phases import Owed, Phase, Side
from agent.model.programs import Program
from agent.serving import proof
from agent.setup import mount as setup_mount
from agent.setup import preflight
from agent.state import earlier
from agent.state.run import Run, Server
from agent.store import ownership

from .conftest import Machine
from .stores import KEY, remember


def test_a_remount_is_measured_and_proven(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    proven: list[int] = []
    monkeypatch.setattr(proof, "prove", lambda *_: proven.append(1))
    server.hold(Phase.LIVE, Side.BUCKET, owed=[Owed.REMOUNT])
    remount.remount(server.run(), server.run)
    assert proven == [1] and not server.journal.owed
    assert any("the homeserver answers after" in line for line in server.said)
    assert "matrix-synapse.service" in server.system.active


def test_where_new_settings_do_not_prove_themselves_the_earlier_ones_come_back(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = server.layout.rclone_conf
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_bytes(b"earlier")
    earlier.lay_aside(server.layout, {conf: b"earlier"})
    conf.write_bytes(b"newer")
    server.hold(Phase.LIVE, Side.BUCKET, owed=[Owed.REMOUNT])

    def prove(*_: object) -> None:
        if conf.read_bytes() == b"newer":
            raise Problem("the mount takes no new file", "look")

    monkeypatch.setattr(proof, "prove", prove)
    with pytest.raises(Problem, match="the earlier ones serve again: the mount takes no new file"):
        remount.remount(server.run(), server.run)
    assert conf.read_bytes() == b"earlier" and not server.layout.earlier.exists()
    journal = server.journal
    assert not journal.owed and journal.serving is Side.BUCKET and journal.window is None
    assert "matrix-synapse.service" in server.system.active


def test_an_earlier_program_stays_until_what_replaced_it_is_proven(server: Machine) -> None:
    old = server.layout.program(Program("goofys", "", "0" * 64))
    old.parent.mkdir(parents=True, exist_ok=True)
    old.write_bytes(b"earlier")
    (server.layout.lib / "goofys").write_bytes(b"of an earlier version of this program")
    conf = server.layout.rclone_conf
    conf.parent.mkdir(parents=True, exist_ok=True)
    earlier.lay_aside(server.layout, {conf: None})
    setup_mount.lay_programs(server.agent)
    assert earlier.bring_back(server.layout, server.system) and old.read_bytes() == b"earlier"
    earlier.forget(server.layout, server.agent.programs.keys())
    left = {path.name for path in server.layout.lib.iterdir() if path.suffix != ".json"}
    assert left == {path.name for path in server.agent.programs} and not server.layout.earlier.exists()
    earlier.forget(server.layout, ())
    assert not [*server.layout.lib.iterdir()]


def _told_of(server: Machine, monkeypatch: pytest.MonkeyPatch, tries: list[str]) -> Run:
    """A live server whose mount's files are about to change; `tries` is what the trial beside it does."""
    monkeypatch.setattr(preflight, "check", lambda run: None)
    monkeypatch.setattr(setup_mount, "install_packages", lambda *_: None)
    monkeypatch.setattr(setup_mount, "_replaceable", lambda layout: [layout.credentials])

    def change(*_: object) -> set[Path]:
        changed = server.layout.credentials.read_bytes() != b"newer"
        server.layout.credentials.write_bytes(b"newer")
        return {server.layout.credentials} if changed else set()

    def try_(run: Run) -> None:
        if tries and tries.pop() == "killed":
            raise KeyboardInterrupt

    monkeypatch.setattr(setup_mount, "lay_files", change)
    monkeypatch.setattr(setup_mount, "_try", try_)
    server.layout.credentials.parent.mkdir(parents=True, exist_ok=True)
    server.layout.credentials.write_bytes(b"earlier")
    server.hold(Phase.LIVE, Side.BUCKET)
    return server.run()


def test_a_run_killed_between_new_files_and_the_remount_is_made_up_by_the_next(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _told_of(server, monkeypatch, [])
    document = {"store": dataclasses.asdict(server.settings.store), "mount": {}}

    def killed(*_: object) -> None:
        raise SystemExit

    # Killed for good right after the files: nothing of what follows runs.
    monkeypatch.setattr(setup_mount, "_try", killed)
    monkeypatch.setattr(earlier, "bring_back", killed)
    with pytest.raises(SystemExit):
        setup_mount.install(run, document)
    assert server.journal.owed == {Owed.REMOUNT}
    monkeypatch.setattr(setup_mount, "_try", lambda run: None)
    setup_mount.install(server.run(), document)
    assert server.journal.owed == {Owed.REMOUNT}, "although no file changed now"


def test_files_that_fail_their_trial_are_taken_back(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _told_of(server, monkeypatch, ["killed"])
    with pytest.raises(KeyboardInterrupt):
        setup_mount.install(run, {"store": {}, "mount": {}})
    assert server.layout.credentials.read_bytes() == b"earlier"
    assert not server.journal.owed


def test_a_new_customer_key_in_prepare_takes_the_owners_mark_over(
    monkeypatch: pytest.MonkeyPatch, server: Machine
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(ids, "of_this_server", lambda: ServerIds("1", "0"))
    ownership.claim(server.bucket, ids.of_this_server(), "b", adopt=False)
    before = server.agent
    run = remember(server, sse_customer_key=KEY)
    monkeypatch.setattr(Server, "load", lambda *_: before)
    assert setup_mount._store_changed(run)
    setup_mount._go_to_other_store(run)
    assert (mark := ownership.read(server.bucket)) and mark.id == "1"


def test_the_earlier_settings_are_proven_too_where_recovery_failed_once(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window is open still, and must not keep the way back from opening its own."""
    earlier.lay_aside(server.layout, {})
    server.hold(Phase.LIVE, Side.BUCKET, owed=[Owed.REMOUNT])
    real, failures = server.system.start, iter([True])

    def start(units: Sequence[str], wait: bool = True, timeout: float = 0) -> None:
        if next(failures, False):
            raise OSError(5, "Input/output error")
        real(units, wait, timeout)

    monkeypatch.setattr(server.system, "start", start)
    with pytest.raises(Problem, match="the earlier ones serve again"):
        remount.remount(server.run(), server.run)
    journal = server.journal
    assert not journal.owed and journal.window is None and journal.serving is Side.BUCKET
    assert "matrix-synapse.service" in server.system.active
