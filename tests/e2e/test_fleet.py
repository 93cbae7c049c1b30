"""Many stacks: one whose server is broken takes no other along, and a second run goes on where the first ended."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from sandbox.engine import Stack
from sandbox.world import ROOT

from .world import Begin, Migration, journal, operate


@contextlib.contextmanager
def broken_beside(migration: Migration, name: str) -> Iterator[Stack]:
    """A further stack on the same backend, which comes first, and whose server does not answer."""
    near, far = migration.stack, Stack(name)
    subprocess.run(
        ["pulumi", "stack", "init", name, "--copy-config-from", near.name, "--no-select", "--non-interactive"],
        cwd=ROOT, env=near.env, check=True, capture_output=True,
    )  # fmt: skip
    with contextlib.ExitStack() as undo:
        undo.callback(far.config_file.unlink, missing_ok=True)
        for setting, value in (("server.host", "127.0.0.1"), ("server.port", "1")):
            words = ["pulumi", "config", "set", "--path", setting, value, "--stack", name, "--non-interactive"]
            subprocess.run(words, cwd=ROOT, env=near.env, check=True, capture_output=True)
        yield far


def test_a_broken_server_stops_a_wave_or_is_passed_over_and_the_others_go_on(begin: Begin) -> None:
    migration = begin("fleet", thin=20)
    to_mirror = ("fleet", "up", "--phase", "mirror", "--at-once", "1", "--yes")
    near = migration.stack.name
    with broken_beside(migration, "sandbox-a-broken-one") as far:
        stopped = operate(migration, *to_mirror)
        assert stopped.returncode == 2, stopped.stdout + stopped.stderr
        assert f"{far.name}: FAILED" in stopped.stdout and "cannot be reached" in stopped.stdout
        assert f"{near}: not begun" in stopped.stdout and journal() == {}, "its server was not touched"
        assert "phase: prepare" in migration.stack.config_file.read_text()
        passed = operate(migration, *to_mirror, "--stop-after", "2")
        assert passed.returncode == 2 and f"{near}: done after" in passed.stdout, passed.stdout + passed.stderr
        assert journal()["phase"] == "mirror" and "phase: mirror" in migration.stack.config_file.read_text()
    again = operate(migration, *to_mirror)
    assert again.returncode == 0 and again.stdout.endswith("1 done\n"), again.stdout + again.stderr
    plan = operate(migration, "fleet", "plan", "--phase", "live")
    assert plan.returncode == 0 and f"{near}  live " in plan.stdout, plan.stdout + plan.stderr
    back = operate(migration, "fleet", "up", "--phase", "prepare", "--yes")
    assert back.returncode == 0 and f"{near}: left alone: it is in mirror" in back.stdout
    assert journal()["phase"] == "mirror"
