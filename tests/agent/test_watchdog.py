"""The watchdog's decisions, what it sees, and what differs on the server."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import subprocess
from pathlib import Path

import pytest

from agent import __main__
from agent.commands import converge, home, recover, wiring
from agent.host.files import lay_reserve
from agent.migration import recovery
from agent.migration.window import Clock, window
from agent.model.errors import Problem
from agent.model.layout import MOUNT_UNIT, RECOVER_TIMER
from agent.model.phases import Phase, Side, Stage, Window
from agent.serving import admission, probe, watchdog
from agent.serving.watchdog import Act, Look, Seen, decide
from agent.setup import drift
from agent.setup import mount as setup_mount
from agent.state import journal as journal_module
from agent.state.journal import RESERVE_BYTES, Journal
from agent.state.lock import locked
from agent.state.records import Owner
from agent.state.run import Run, Server

from .conftest import Machine
from .fakes import SYNAPSE

WELL, BARE, STUCK = Look(Seen.WELL), Look(Seen.BARE, "activating"), Look(Seen.STUCK)


def test_one_look_that_sees_trouble_is_not_enough() -> None:
    for look in (BARE, STUCK, Look(Seen.BARE, "failed")):
        assert decide([WELL, look]) == set()


def test_a_mount_that_hangs_twice_in_a_row_is_ended_unless_the_store_is_silent_too() -> None:
    assert decide([WELL, STUCK, STUCK]) == {Act.END_MOUNT}
    assert decide([STUCK, WELL, STUCK]) == set()
    silent = Look(Seen.STUCK, store_answers=False)
    assert decide([silent] * 20) == set()


def test_services_wait_for_a_mount_that_stays_away_and_one_stopped_by_hand_is_started() -> None:
    assert decide([BARE] * 7) == set()
    assert decide([BARE] * 8) == {Act.HOLD_SERVICES}
    assert decide([Look(Seen.BARE, "inactive")] * 2) == {Act.START_MOUNT}


def test_a_program_that_does_not_know_that_it_was_unmounted_is_ended_but_not_one_that_takes_its_time() -> None:
    runs, restarts = Look(Seen.BARE, "active"), Look(Seen.BARE, "activating")
    assert Act.END_MOUNT not in decide([WELL, *[runs] * 119])
    assert Act.END_MOUNT in decide([WELL, *[runs] * 120])
    assert Act.END_MOUNT not in decide([*[runs] * 119, Look(Seen.BARE, "active", store_answers=False)])
    assert Act.END_MOUNT not in decide([*[runs] * 120, restarts, *[runs] * 119])


def test_a_minute_of_health_forgives_earlier_failures_once() -> None:
    acts = [decide([BARE, *[WELL] * n]) for n in range(1, 14)]
    assert [number for number, found in enumerate(acts, 1) if found] == [12]


def test_a_hang_is_known_within_half_a_minute() -> None:
    look = watchdog.ANSWER_SECONDS
    assert watchdog.CALM_SECONDS + look + watchdog.ALERT_SECONDS + look < 30


def test_nothing_is_watched_while_the_local_store_serves_or_a_step_is_under_way(server: Machine) -> None:
    assert watchdog.look(server.agent, server.journal).seen is Seen.IDLE
    journal = server.hold(serving=Side.BUCKET, window=(Window.REMOUNT, Stage.STARTING))
    assert watchdog.look(server.agent, journal).seen is Seen.IDLE


@pytest.mark.parametrize(
    ("mounted", "error", "seen"),
    [
        (True, None, Seen.WELL),
        (False, None, Seen.BARE),
        (True, OSError(os.strerror(errno.ENOTCONN)), Seen.BARE),
        (True, TimeoutError("no answer within 8 s"), Seen.STUCK),
    ],
)
def test_a_look_tells_a_dead_mount_from_one_that_hangs(
    server: Machine, monkeypatch: pytest.MonkeyPatch, mounted: bool, error: Exception | None, seen: Seen
) -> None:
    journal = server.hold(serving=Side.BUCKET)
    if mounted:
        server.system.mounts.add(server.store)

    def as_user(uid: int, gid: int, action: object, timeout: float = 30) -> None:
        if error and uid:
            raise error

    monkeypatch.setattr(server.system, "as_user", as_user)
    monkeypatch.setattr(Journal, "owner", Owner(991, 991))
    assert watchdog.look(server.agent, journal).seen is seen


def test_the_watchdog_leaves_everything_to_a_run_that_holds_the_lock(server: Machine) -> None:
    server.hold(serving=Side.BUCKET)
    server.system.log.clear()
    with locked(server.layout):
        watchdog._act_unless_busy(lambda: server.agent, {Act.END_MOUNT})
    assert server.system.log == []
    watchdog._act_unless_busy(lambda: server.agent, {Act.END_MOUNT})
    assert server.system.log == [f"kill --signal=SIGKILL {MOUNT_UNIT}"]


def test_only_services_that_run_are_told_to_wait(server: Machine) -> None:
    server.system.log.clear()
    watchdog.act(server.agent, server.journal, {Act.HOLD_SERVICES})
    assert server.system.log == [f"--no-block try-restart {SYNAPSE}"]
    server.system.active.clear()
    server.system.log.clear()
    watchdog.act(server.agent, server.journal, {Act.HOLD_SERVICES})
    assert server.system.log == []


@pytest.mark.parametrize(
    ("tries", "pause"), [("0", 0.0), ("1", 1.0), ("3", 7.0), ("4", 15.0), ("5000", 15.0), ("", 0.0)]
)
def test_a_mount_that_ends_at_once_is_tried_again_ever_more_slowly(
    server: Machine, monkeypatch: pytest.MonkeyPatch, tries: str, pause: float
) -> None:
    monkeypatch.setattr(server.system, "systemctl", lambda *words, check=True: f"{tries}\n")
    server.system.log.clear()
    admission.back_off(server.system, MOUNT_UNIT)
    assert server.system.log == [f"pause {pause}"]


def laid(server: Machine) -> Journal:
    """A server on which all was laid."""
    journal = server.journal
    journal.note_agent(hashlib.sha256(b"agent").hexdigest())
    journal.note_repairs("mark")
    setup_mount.lay_programs(server.agent)
    setup_mount.lay_files(server.agent, journal)
    server.layout.agent.parent.mkdir(parents=True, exist_ok=True)
    server.layout.agent.write_bytes(b"agent")
    journal.save()
    return journal


def differences(server: Machine, monkeypatch: pytest.MonkeyPatch, agent: bytes = b"agent") -> list[str]:
    monkeypatch.setattr(server.system, "systemctl", lambda *words, check=True: "enabled\n")
    return drift.differences(server.agent, server.journal, agent)


def test_what_was_laid_and_not_touched_does_not_differ(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert differences(server, monkeypatch) == [], "nothing was laid yet"
    laid(server)
    assert differences(server, monkeypatch) == []


def test_each_thing_removed_or_edited_is_named(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    laid(server)
    guard = next(server.layout.units.glob("matrix-synapse.service.d/*.conf"))
    guard.unlink()
    unit = server.layout.units / MOUNT_UNIT
    unit.write_text("by hand")
    server.layout.credentials.chmod(0o644)
    server.layout.agent.write_bytes(b"other")
    rclone, goofys = server.agent.programs
    rclone.unlink()
    goofys.write_bytes(b"other")
    assert differences(server, monkeypatch) == [
        f"{server.layout.agent} was changed",
        f"{server.layout.credentials} has mode 0644, not 0600",
        f"{unit} was changed, or is of an earlier version",
        f"{guard} is missing",
        f"{rclone} is missing",
        f"{goofys} was changed",
    ]


def test_files_of_another_version_of_the_agent_rightly_differ(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    laid(server)
    (server.layout.units / MOUNT_UNIT).write_text("as the older version wrote it")
    assert differences(server, monkeypatch, agent=b"newer") == []


def test_the_journal_is_written_on_a_full_disk_once(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_reserve(server.layout.reserve, RESERVE_BYTES)
    assert server.layout.reserve.stat().st_blocks * 512 >= RESERVE_BYTES, "the room is really taken"
    real = os.open

    def full(path: Path, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith("journal.json.new") and server.layout.reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", full)
    server.hold(Phase.MIRROR)
    assert server.journal.phase is Phase.MIRROR and not server.layout.reserve.exists()


def test_services_that_do_not_stop_in_time_are_killed_and_the_window_is_given_up(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.hold(Phase.MIRROR)
    started: list[tuple[str, ...]] = []

    def never(units: list[str], timeout: float = 0) -> None:
        raise subprocess.TimeoutExpired("systemctl", timeout)

    monkeypatch.setattr(server.system, "stop", never)
    monkeypatch.setattr(recovery, "recover", lambda run: started.append(run.journal.units))
    with (
        pytest.raises(Problem, match=r"did not stop within 180 s.*host\.stopSeconds"),
        window(server.run(), Window.CUTOVER),
    ):
        raise AssertionError("the window opened")
    assert f"kill --signal=SIGKILL {SYNAPSE}" in server.system.log
    assert started == [(SYNAPSE,)], "recovery knows what to start"


def test_a_window_does_not_begin_on_a_full_disk(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_reserve(server.layout.reserve, RESERVE_BYTES)

    server.hold(Phase.MIRROR)

    def full(path: Path, document: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal_module, "write_json", full)
    run = server.run()
    with pytest.raises(OSError, match="No space left"), window(run, Window.CUTOVER):
        raise AssertionError("the window opened")
    assert run.journal.serving is Side.LOCAL and run.journal.window is None
    assert server.layout.reserve.exists(), "it is for the end of a window"
    assert f"stop {SYNAPSE}" not in server.system.log


def test_recovery_waits_for_room_on_the_disk(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = iter([errno.ENOSPC, errno.EDQUOT, 0])

    def fail(run: Run, boot: bool) -> None:
        if number := next(tries):
            raise OSError(number, "full")

    monkeypatch.setattr(recover, "HERE", server.layout)
    monkeypatch.setattr(recover, "run_here", server.run)
    monkeypatch.setattr(Server, "load", lambda layout: server.agent)
    monkeypatch.setattr(recovery, "recover", fail)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    server.system.log.clear()
    assert __main__.main(["recover"]) == 0
    assert server.system.log == ["pause 5.0", "pause 5.0", f"stop --no-block {RECOVER_TIMER}"]


def test_a_stack_that_lost_the_server_undoes_nothing_there(
    server: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Server, "load", lambda layout: server.agent)
    for module in (converge, home, wiring):
        monkeypatch.setattr(module, "HERE", server.layout)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for words in (["unmount"], ["converge", "--phase", "local"], ["uninstall"]):
        assert __main__.main([*words, "--stack", "earlier"]) == 0
        assert "stack test holds this server now" in capsys.readouterr().err


def test_a_mount_that_came_back_while_it_was_looked_at_is_not_ended(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "why_not_serving", lambda *_: "")
    server.system.log.clear()
    watchdog.act(server.agent, server.journal, {Act.END_MOUNT})
    assert server.system.log == []


def test_the_time_for_the_last_files_is_over_with_the_settings_name(server: Machine) -> None:
    clock = Clock(server.settings.migration.window_seconds)
    clock.check()
    clock.start()
    clock.check()
    clock.deadline = 0.0
    with pytest.raises(Problem, match=r"300 s.*migration\.windowSeconds"):
        clock.check()
