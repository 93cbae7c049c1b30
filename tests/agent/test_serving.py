"""The mount, its units, and the guard before each service that writes."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.host.units import quote
from agent.model.layout import MOUNT_UNIT
from agent.model.phases import Phase, Side, Stage, Window
from agent.model.settings import parse
from agent.serving import guard, probe, programs, provider, units
from agent.setup import mount as setup_mount
from agent.state.journal import Journal

from .conftest import Machine
from .stores import PLAIN


def test_goofys_serves_the_owner_alone_and_gets_no_key_as_an_argument() -> None:
    argv = programs.goofys_argv(Path("/g"), PLAIN, Path("/w"), 991, 992)
    wanted = {"--uid": "991", "--gid": "992", "--dir-mode": "0700", "--file-mode": "0600", "--region": "eu-x"}
    for flag, value in wanted.items():
        assert argv[argv.index(flag) + 1] == value
    assert argv[-2:] == ["media", "/w"] and "KEY" not in " ".join(argv) and "--acl" not in argv


@pytest.mark.parametrize("value", ['a"b', "a\\b", " a b ", "$HOME `id`", "'x'", "#a", "a/b+c=", "é"])
def test_any_key_arrives_whole_from_the_environment_file(value: str) -> None:
    """Review, entry 36. systemd reads such a file as the shell does."""
    line = programs.environment(dataclasses.replace(PLAIN, secret_access_key=value)).splitlines()[1]
    done = subprocess.run(["sh", "-c", f'{line}\nprintf %s "$AWS_SECRET_ACCESS_KEY"'], capture_output=True, text=True)
    assert done.stdout == value
    assert programs.environment(PLAIN).splitlines()[1] == "AWS_SECRET_ACCESS_KEY=KEY", "no mount restarts for that"


def test_unit_files_pass_systemds_own_check_whatever_the_path(server: Machine) -> None:
    assert quote("/a b$c") == '"/a b$$c"' and quote("/plain") == "/plain"
    text = units.mount_unit(server.agent, server.journal.owner, Path("/srv/with blank%"), Path("/var/at"), "d").decode()
    assert '"/srv/with blank%%"' in text
    unit = server.root / "t.service"
    unit.write_text(text.replace(str(server.agent.mount_program), "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert "Invalid" not in done.stderr and "Failed to parse" not in done.stderr, done.stderr


def test_the_guard_covers_workers_of_any_name_and_goes_when_services_change(server: Machine) -> None:
    server.settings = parse({"host": {"media_store": str(server.store)}, "mount": {"program": "rclone"}})
    setup_mount.lay_files(server.agent, server.journal)
    folders = {path.parent.name for path in server.layout.units.glob("*.d/matrix-media-store.conf")}
    assert "matrix-synapse.service.d" in folders and "matrix-synapse-worker-.service.d" in folders
    host, jobs = {"media_store": str(server.store), "services": ["x.service"]}, f"{provider.UNITS[1]}.d"
    server.settings = parse({"host": host, "mount": {"program": "rclone"}})
    setup_mount.lay_files(server.agent, server.journal)
    walkers = {f"{name}.d" for name in units.WALKERS}
    found = {p.parent.name for p in server.layout.units.glob("*.d/matrix-media-store.conf")}
    assert found == {"x.service.d", jobs, *walkers}
    hidden = (server.layout.units / "plocate-updatedb.service.d/matrix-media-store.conf").read_text()
    assert f'InaccessiblePaths="-{server.store}" "-{server.layout.staging}"' in hidden
    setup_mount._remove_guard(server.layout)
    assert not list(server.layout.units.glob("*.d"))


def serving_by(server: Machine, side: Side) -> Journal:
    """The journal of a server on which that side serves; in a window, nobody does."""
    window = (Window.CUTOVER, Stage.DELTA) if side is Side.NOBODY else None
    return server.hold(Phase.LIVE if side is Side.BUCKET else Phase.MIRROR, side, window)


@pytest.mark.parametrize(
    ("serving", "mounted", "exists", "free"),
    [
        (Side.LOCAL, False, True, True),
        (Side.LOCAL, True, True, False),
        (Side.LOCAL, False, False, False),
        (Side.BUCKET, True, True, True),
        (Side.BUCKET, False, True, False),
        (Side.NOBODY, False, True, False),
        (Side.NOBODY, True, True, False),
    ],
)
def test_the_homeserver_never_starts_over_a_store_that_is_not_there(
    server: Machine, serving: Side, mounted: bool, exists: bool, free: bool
) -> None:
    journal = serving_by(server, serving)
    if mounted:
        server.system.mounts.add(server.store)
    if not exists:
        server.store.rmdir()
    assert (guard.reason_to_wait(server.agent, journal) == "") is free


@pytest.mark.parametrize(
    ("serving", "unit", "trouble", "starts"),
    [
        (Side.BUCKET, True, os.strerror(errno.EIO), True),
        (Side.BUCKET, True, "no answer within 20 s", True),
        (Side.BUCKET, True, os.strerror(errno.ENOTCONN), False),
        (Side.BUCKET, True, probe.NOT_MOUNTED, False),
        (Side.BUCKET, False, os.strerror(errno.EIO), False),  # it never answered since it was started
        (Side.NOBODY, True, os.strerror(errno.EIO), False),
    ],
)
def test_a_store_that_is_away_does_not_keep_the_homeserver_down_while_its_mount_stands(
    server: Machine, monkeypatch: pytest.MonkeyPatch, serving: Side, unit: Any, trouble: str, starts: bool
) -> None:
    if unit:
        server.system.active.add(MOUNT_UNIT)
    monkeypatch.setattr(probe, "why_not_serving", lambda *_: trouble)
    assert guard.merely_silent(server.agent, serving_by(server, serving)) is starts
