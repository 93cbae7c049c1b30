"""What administrators ask besides preview and up: history, rollback, status; and what `up` repairs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from sandbox import server, store, synapse
from sandbox.world import ROOT

from .world import STORE, Begin, mounted, on_disk, operate, synapse_started

UNITS = Path("/etc/systemd/system")
GUARD = UNITS / "matrix-synapse.service.d/matrix-media-store.conf"


@pytest.mark.nightly
def test_rollback_from_live_by_history_number_serves_new_uploads_from_local_disk(begin: Begin) -> None:
    migration = begin("rollback")
    for phase in ("prepare", "mirror", "live"):
        migration.up(phase)
    migration.stack.set("copy.transfers", "7")
    migration.stack.set_secret("store.secretAccessKey", store.SECRET_ACCESS_KEY)
    migration.up("live")
    told = operate(migration, "history")
    assert told.returncode == 0, told.stderr
    assert "     4  " in told.stdout and "phase: mirror -> live" in told.stdout
    assert "copy.transfers: (not set) -> 7" in told.stdout
    assert store.SECRET_ACCESS_KEY not in told.stdout and migration.token not in told.stdout

    refused = operate(migration, "rollback", "--to", "2", answer="no\n")
    assert refused.returncode == 1 and "nothing was changed" in refused.stdout
    assert "phase: live -> mirror" in refused.stdout and "2 to update" not in migration.stack.must("preview")
    assert mounted(STORE)

    new = [migration.upload() for _ in range(3)]
    done = operate(migration, "rollback", "--to", "2", answer="yes\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "converge --phase mirror" in done.stdout, "it was previewed"
    migration.assert_serves_locally()
    new.append(migration.upload())
    done = operate(migration, "rollback", "--to", "1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    migration.assert_serves_locally()
    assert {item.key for item in new} <= set(synapse.tree())
    config = json.loads(migration.stack.must("config", "--json"))
    assert config["matrix-media-store:phase"]["value"] == "prepare" and "matrix-media-store:copy" not in config
    assert migration.stack.must("config", "get", "--path", "store.secretAccessKey").strip() == store.SECRET_ACCESS_KEY
    assert list((ROOT / "stacks").glob(".changed-*")) == []
    assert "6 unchanged" in migration.stack.must("up", "--yes", "--skip-preview")


def test_a_number_that_is_not_there_and_a_stack_that_is_not_there_are_told(begin: Begin) -> None:
    migration = begin("numbers", thin=5)
    unknown = operate(migration, "rollback", "--to", "99", "--yes")
    assert unknown.returncode == 2 and "there is no update 99" in unknown.stderr
    other = subprocess.run(
        [ROOT / ".venv/bin/media-store", "status", "--stack", "nobody"],
        cwd=ROOT, env=migration.stack.env, text=True, capture_output=True,
    )  # fmt: skip
    assert other.returncode == 2 and "there is no stack 'nobody'" in other.stderr and "Traceback" not in other.stderr


def test_what_was_changed_by_hand_is_drift_and_the_next_up_repairs_it_without_stopping_anything(begin: Begin) -> None:
    migration = begin("drift", thin=20)
    migration.up("live")
    well = operate(migration, "status")
    assert well.returncode == 0 and "as the stack says" in well.stdout, well.stdout + well.stderr
    since = synapse_started()

    on_disk(GUARD).unlink()
    recover = on_disk(UNITS / "matrix-media-store-recover.service")
    recover.write_text(recover.read_text() + "# by hand\n")
    on_disk(Path("/usr/local/lib/matrix-media-store/agent.pyz")).unlink()
    server.ssh("systemctl stop matrix-media-store-watchdog; systemctl disable matrix-media-store")
    told = operate(migration, "status", "--json")
    assert told.returncode == 1
    document = json.loads(told.stdout)
    drift = "\n".join(document["drift"])
    for words in (
        f"{GUARD} is missing", "matrix-media-store-recover.service was changed", "agent.pyz is missing",
        "watchdog.service does not run", "matrix-media-store.service is disabled",
    ):  # fmt: skip
        assert words in drift
    assert document["seen"]["remote"]["files"] == len([key for key in migration.objects() if not key.endswith("/")])
    assert document["seen"]["local"]["files"] == len(migration.before)
    assert document["seen"]["checked_seconds_ago"] < 600

    preview = migration.stack.must("preview")
    assert f"{GUARD} is missing" in preview and "2 to update" in preview
    assert "2 updated" in migration.up("live")
    assert operate(migration, "status").returncode == 0
    assert "6 unchanged" in migration.up("live")
    assert synapse_started() == since
    migration.assert_serves_from_bucket()

    for program in on_disk(Path("/usr/local/lib/matrix-media-store")).glob("goofys-*"):
        program.unlink()
    migration.up("live")
    assert operate(migration, "status").returncode == 0
    migration.assert_serves_from_bucket()
    migration.stack.set("phase", "clean")
    ahead = operate(migration, "status")
    assert ahead.returncode == 3 and "WAITS: the stack says phase clean, the server is in live" in ahead.stdout
    fleet = operate(migration, "fleet")
    assert fleet.returncode == 0, fleet.stderr
    assert f"{migration.stack.name}  live -> clean  update 1\n" in fleet.stdout
