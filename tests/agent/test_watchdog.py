"""The watchdog's decisions, what it sees, and what differs on the server."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import subprocess

import pytest

from agent import __main__, admission, drift, mount, places, recovery, services, watchdog
from agent import journal as journal_module
from agent.context import Context
from agent.errors import Problem
from agent.files import lay_reserve
from agent.journal import RESERVE_BYTES, Journal, Step, locked
from agent.places import MOUNT_UNIT
from agent.settings import parse
from agent.watchdog import Act, Look, Seen, decide

from .conftest import SYNAPSE, Server

WELL, BARE, STUCK = Look(Seen.WELL), Look(Seen.BARE, "activating"), Look(Seen.STUCK)


def test_one_look_that_sees_trouble_is_not_enough():
    for look in (BARE, STUCK, Look(Seen.BARE, "failed")):
        assert decide([WELL, look]) == set()


def test_a_mount_that_hangs_twice_in_a_row_is_ended_unless_the_store_is_silent_too():
    assert decide([WELL, STUCK, STUCK]) == {Act.END_MOUNT}
    assert decide([STUCK, WELL, STUCK]) == set()
    silent = Look(Seen.STUCK, store_answers=False)
    assert decide([silent] * 20) == set()


def test_services_wait_for_a_mount_that_stays_away_and_one_stopped_by_hand_is_started():
    assert decide([BARE] * 7) == set()
    assert decide([BARE] * 8) == {Act.HOLD_SERVICES}
    assert decide([Look(Seen.BARE, "inactive")] * 2) == {Act.START_MOUNT}


def test_a_program_that_does_not_know_that_it_was_unmounted_is_ended_but_not_one_that_takes_its_time():
    runs, restarts = Look(Seen.BARE, "active"), Look(Seen.BARE, "activating")
    assert Act.END_MOUNT not in decide([WELL, *[runs] * 119])
    assert Act.END_MOUNT in decide([WELL, *[runs] * 120])
    assert Act.END_MOUNT not in decide([*[runs] * 119, Look(Seen.BARE, "active", store_answers=False)])
    assert Act.END_MOUNT not in decide([*[runs] * 120, restarts, *[runs] * 119])


def test_a_minute_of_health_forgives_earlier_failures_once():
    acts = [decide([BARE, *[WELL] * n]) for n in range(1, 14)]
    assert [number for number, found in enumerate(acts, 1) if found] == [12]


def test_a_hang_is_known_within_half_a_minute():
    look = watchdog.ANSWER_SECONDS
    assert watchdog.CALM_SECONDS + look + watchdog.ALERT_SECONDS + look < 30


def test_nothing_is_watched_while_the_local_store_serves_or_a_step_is_under_way(server: Server):
    assert watchdog.look(server.context()).seen is Seen.IDLE
    context = server.context()
    context.journal.serving, context.journal.step = "bucket", Step("remount", "delta", [])
    assert watchdog.look(context).seen is Seen.IDLE


@pytest.mark.parametrize(
    ("mounted", "error", "seen"),
    [
        (True, None, Seen.WELL),
        (False, None, Seen.BARE),
        (True, OSError(os.strerror(errno.ENOTCONN)), Seen.BARE),
        (True, TimeoutError("no answer within 8 s"), Seen.STUCK),
    ],
)
def test_a_look_tells_a_dead_mount_from_one_that_hangs(server: Server, monkeypatch, mounted, error, seen):
    context = server.context()
    context.journal.serving = "bucket"
    if mounted:
        server.system.mounts.add(server.store)

    def as_user(uid, gid, action, timeout=30):
        if error and uid:
            raise error

    monkeypatch.setattr(server.system, "as_user", as_user)
    context.journal.facts["uid"] = 991
    assert watchdog.look(context).seen is seen


def test_the_watchdog_leaves_everything_to_a_run_that_holds_the_lock(server: Server):
    context = server.context()
    context.journal.serving = "bucket"
    context.save()
    server.system.log.clear()
    with locked(server.places):
        watchdog._act_unless_busy(server.context, {Act.END_MOUNT})
    assert server.system.log == []
    watchdog._act_unless_busy(server.context, {Act.END_MOUNT})
    assert server.system.log == [f"kill --signal=SIGKILL {MOUNT_UNIT}"]


def test_only_services_that_run_are_told_to_wait(server: Server):
    context = server.context()
    server.system.log.clear()
    watchdog.act(context, {Act.HOLD_SERVICES})
    assert server.system.log == [f"--no-block try-restart {SYNAPSE}"]
    server.system.active.clear()
    server.system.log.clear()
    watchdog.act(context, {Act.HOLD_SERVICES})
    assert server.system.log == []


@pytest.mark.parametrize(
    ("tries", "pause"), [("0", 0.0), ("1", 1.0), ("3", 7.0), ("4", 15.0), ("5000", 15.0), ("", 0.0)]
)
def test_a_mount_that_ends_at_once_is_tried_again_ever_more_slowly(server: Server, monkeypatch, tries, pause):
    monkeypatch.setattr(server.system, "systemctl", lambda *words, check=True: f"{tries}\n")
    server.system.log.clear()
    admission.back_off(server.system, MOUNT_UNIT)
    assert server.system.log == [f"pause {pause}"]


def laid(server: Server) -> Journal:
    """A server on which all was laid; goofys is not its program, so nothing is fetched."""
    server.settings = parse({"host": {"media_store": str(server.store)}, "mount": {"program": "rclone"}})
    context = server.context()
    context.journal.facts.update(agent_sha256=hashlib.sha256(b"agent").hexdigest(), repairs="mark")
    mount.install(context)
    server.places.agent.parent.mkdir(parents=True, exist_ok=True)
    server.places.agent.write_bytes(b"agent")
    context.save()
    return context.journal


def differences(server: Server, monkeypatch, agent: bytes = b"agent") -> list[str]:
    monkeypatch.setattr(server.system, "systemctl", lambda *words, check=True: "enabled\n")
    return drift.differences(server.context(), agent)


def test_what_was_laid_and_not_touched_does_not_differ(server: Server, monkeypatch):
    assert differences(server, monkeypatch) == [], "nothing was laid yet"
    laid(server)
    assert differences(server, monkeypatch) == []


def test_each_thing_removed_or_edited_is_named(server: Server, monkeypatch):
    laid(server)
    guard = next(server.places.units.glob("matrix-synapse.service.d/*.conf"))
    guard.unlink()
    unit = server.places.units / MOUNT_UNIT
    unit.write_text("by hand")
    server.places.credentials.chmod(0o644)
    server.places.agent.write_bytes(b"other")
    assert differences(server, monkeypatch) == [
        f"{server.places.agent} was changed",
        f"{server.places.credentials} has mode 0644, not 0600",
        f"{unit} was changed",
        f"{guard} is missing",
    ]


def test_files_of_another_version_of_the_agent_rightly_differ(server: Server, monkeypatch):
    laid(server)
    (server.places.units / MOUNT_UNIT).write_text("as the older version wrote it")
    assert differences(server, monkeypatch, agent=b"newer") == []


def test_the_journal_is_written_on_a_full_disk_once(server: Server, monkeypatch):
    lay_reserve(server.places.reserve, RESERVE_BYTES)
    assert server.places.reserve.stat().st_blocks * 512 >= RESERVE_BYTES, "the room is really taken"
    real = os.open

    def full(path, flags, mode=0o777):
        if str(path).endswith("journal.json.new") and server.places.reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", full)
    context = server.context()
    context.journal.phase = "mirror"
    context.save()
    assert Journal.load(server.places).phase == "mirror" and not server.places.reserve.exists()


def test_services_that_do_not_stop_in_time_are_killed_and_the_window_is_given_up(server: Server, monkeypatch):
    def never(units, timeout=0):
        raise subprocess.TimeoutExpired("systemctl", timeout)

    monkeypatch.setattr(server.system, "stop", never)
    with pytest.raises(Problem, match=r"did not stop within 180 s.*host\.stopSeconds"):
        services.take_down(server.context(), "cutover")
    assert f"kill --signal=SIGKILL {SYNAPSE}" in server.system.log
    assert Journal.load(server.places).step.units == [SYNAPSE], "recovery knows what to start"


def test_a_window_does_not_begin_on_a_full_disk(server: Server, monkeypatch):
    lay_reserve(server.places.reserve, RESERVE_BYTES)

    def full(path, document):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal_module, "write_json", full)
    context = server.context()
    with pytest.raises(OSError, match="No space left"):
        services.take_down(context, "cutover")
    assert context.journal.serving == "local" and context.journal.step is None
    assert server.places.reserve.exists(), "it is for the end of a window"
    assert f"stop {SYNAPSE}" not in server.system.log


def test_recovery_waits_for_room_on_the_disk(server: Server, monkeypatch):
    context, tries = server.context(), iter([errno.ENOSPC, errno.EDQUOT, 0])

    def recover(context, boot):
        if number := next(tries):
            raise OSError(number, "full")

    monkeypatch.setattr(places, "HERE", server.places)
    monkeypatch.setattr(Context, "load", lambda places: context)
    monkeypatch.setattr(recovery, "recover", recover)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    server.system.log.clear()
    assert __main__.main(["recover"]) == 0
    assert server.system.log == ["pause 5.0", "pause 5.0"]


def test_a_stack_that_lost_the_server_undoes_nothing_there(server: Server, monkeypatch, capsys):
    context = server.context()
    monkeypatch.setattr(places, "HERE", server.places)
    monkeypatch.setattr(Context, "load", lambda places: context)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for words in (["unmount"], ["converge", "--phase", "local"], ["uninstall"]):
        assert __main__.main([*words, "--stack", "earlier"]) == 0
        assert "stack test holds this server now" in capsys.readouterr().out


def test_a_mount_that_came_back_while_it_was_looked_at_is_not_ended(server: Server, monkeypatch):
    monkeypatch.setattr(watchdog.answers, "trouble", lambda context, where, timeout: "")
    server.system.log.clear()
    watchdog.act(server.context(), {Act.END_MOUNT})
    assert server.system.log == []


def test_the_time_for_the_last_files_is_over_with_the_settings_name(server: Server):
    context = server.context()
    with context.hurrying():
        context.check_clock()
        context.start_clock()
        context.check_clock()
        context.deadline = 0.0
        with pytest.raises(Problem, match=r"migration\.windowSeconds"):
            context.check_clock()
    context.check_clock()
