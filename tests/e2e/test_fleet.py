"""Two servers in a fleet: one that is broken takes the other not along, and once it is mended a second run goes on."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.beside import Beside, second_server
from sandbox.engine import Stack
from sandbox.world import ROOT

from .world import VAR, Begin, Migration, journal, operate

BUCKET = "test-fleet"


@pytest.fixture
def beside() -> Iterator[Beside]:
    with second_server(BUCKET) as found:
        yield found


def further_stack(migration: Migration, name: str) -> Stack:
    """A stack on the same backend, which comes before the migration's, and whose server does not answer."""
    near, far = migration.stack, Stack(name)
    far.config_file.unlink(missing_ok=True)
    words = ["stack", "init", name, "--copy-config-from", near.name, "--no-select", "--non-interactive"]
    subprocess.run(["pulumi", *words], cwd=ROOT, env=near.env, check=True, capture_output=True)
    say(migration, far, "server.host", "127.0.0.1")
    say(migration, far, "server.port", "1")
    return far


def say(migration: Migration, stack: Stack, setting: str, value: str) -> None:
    words = ["config", "set", "--path", setting, value, "--stack", stack.name, "--non-interactive"]
    subprocess.run(["pulumi", *words], cwd=ROOT, env=migration.stack.env, check=True, capture_output=True)


def journal_of(server: Beside) -> dict[str, Any]:
    file = server.disk / VAR.relative_to("/") / "journal.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def test_two_servers_go_in_waves_and_a_broken_one_is_mended_and_gone_on_with(begin: Begin, beside: Beside) -> None:
    migration = begin("fleet", thin=20)
    to_mirror = ("fleet", "up", "--phase", "mirror", "--at-once", "1", "--yes")
    near, far = migration.stack.name, further_stack(migration, "sandbox-a-broken-one")
    try:
        stopped = operate(migration, *to_mirror)
        assert stopped.returncode == 2, stopped.stdout + stopped.stderr
        assert f"{far.name}: FAILED" in stopped.stdout and "cannot be reached" in stopped.stdout
        assert f"{near}: not begun" in stopped.stdout and journal() == {}, "its server was not touched"
        assert "phase: prepare" in migration.stack.config_file.read_text()
        passed = operate(migration, *to_mirror, "--stop-after", "2")
        assert passed.returncode == 2 and f"{near}: done after" in passed.stdout, passed.stdout + passed.stderr
        assert journal()["phase"] == "mirror" and "phase: mirror" in migration.stack.config_file.read_text()
        assert journal_of(beside) == {}
        say(migration, far, "server.port", str(beside.port))  # mended
        again = operate(migration, *to_mirror)
        assert again.returncode == 0 and again.stdout.endswith("2 done\n"), again.stdout + again.stderr
        assert journal_of(beside)["phase"] == "mirror"
        both = operate(migration, "fleet", "up", "--phase", "live", "--at-once", "2", "--yes")
        assert both.returncode == 0 and both.stdout.endswith("2 done\n"), both.stdout + both.stderr
        assert (journal()["phase"], journal_of(beside)["phase"]) == ("live", "live")
        plan = operate(migration, "fleet", "plan", "--phase", "clean")
        assert plan.returncode == 0 and re.search(rf"{near} +live -> clean +update 1", plan.stdout), (
            plan.stdout + plan.stderr
        )
        back = operate(migration, "fleet", "up", "--phase", "prepare", "--yes")
        assert back.returncode == 0 and f"{near}: left alone: it is in live" in back.stdout
        assert journal()["phase"] == "live"
        migration.assert_serves_from_bucket()
    finally:
        far.config_file.unlink(missing_ok=True)
