"""Ways to the server other than one key of one's own: a jump host, a protected key, the agent's, the status alone."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sandbox import server
from sandbox.world import ROOT, SERVER_ADDRESS, SSH_KEY, run

from .world import Begin, on_disk

AGENT = Path("/usr/local/lib/matrix-media-store/agent.pyz")
AUTHORIZED = Path("/root/.ssh/authorized_keys")


@contextlib.contextmanager
def ssh_agent(key: Path) -> Iterator[str]:
    """An SSH agent that holds a key; yields its socket's path."""
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/agent"
        with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as agent:
            try:
                while not Path(socket).exists():
                    assert agent.poll() is None
                    time.sleep(0.01)
                subprocess.run(["ssh-add", "-q", key], check=True, env={**os.environ, "SSH_AUTH_SOCK": socket})
                yield socket
            finally:
                agent.terminate()


def test_the_way_leads_through_a_jump_host_with_a_protected_key_or_the_agents(begin: Begin, tmp_path: Path) -> None:
    """The sandbox's server is its own jump host: 127.0.0.1, seen from there."""
    migration = begin("jump", thin=20)
    stack = migration.stack
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text(SSH_KEY.read_text())
    run("ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", key)
    stack.set_secret("server.privateKey", key.read_text())
    stack.set_secret("server.privateKeyPassword", "open sesame")
    host_key = stack.must("config", "get", "--path", "server.hostKey").strip()
    for name, value in {"host": "127.0.0.1", "jumpHost": SERVER_ADDRESS, "jumpHostKey": host_key}.items():
        stack.set(f"server.{name}", value)
    migration.up("live")
    migration.assert_serves_from_bucket()
    stack.set("server.jumpHostKey", " ".join(SSH_KEY.with_suffix(".pub").read_text().split()[:2]))
    assert "cannot be reached" in migration.try_up("live").output
    stack.set("server.jumpHostKey", host_key)

    stack.must("config", "rm", "--path", "server.privateKey")
    stack.must("config", "rm", "--path", "server.privateKeyPassword")
    stack.set("server.useAgent", "true")
    with ssh_agent(SSH_KEY) as socket:
        agents = dataclasses.replace(stack, extra={"SSH_AUTH_SOCK": socket})
        agents.phase("prepare")
        migration.assert_serves_locally()
        agents.must("destroy", "--yes", "--skip-preview")
    assert not on_disk(AGENT).exists()


def test_a_key_that_may_only_ask_for_the_status_previews_and_does_nothing_else(begin: Begin, tmp_path: Path) -> None:
    migration = begin("status-key", thin=20)
    stack = migration.stack
    before = on_disk(AUTHORIZED).read_text()
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "previews")
    stack.must("config", "rm", "--path", "server.privateKey")
    stack.set("server.useAgent", "true")
    stack.set("server.statusKeys[0]", (tmp_path / "previews.pub").read_text().strip())
    with ssh_agent(SSH_KEY) as full, ssh_agent(tmp_path / "previews") as limited:
        administrator = dataclasses.replace(stack, extra={"SSH_AUTH_SOCK": full})
        previews = dataclasses.replace(stack, extra={"SSH_AUTH_SOCK": limited})
        administrator.phase("mirror")
        assert "6 unchanged" in previews.must("preview")
        stack.set("phase", "live")
        preview = previews.must("preview", "--diff")
        assert "mirror -> live" in preview and "local store:" in preview and "last known" not in preview
        refused = previews.call("up", "--yes", "--skip-preview")
        assert refused.status != 0 and "may only ask for the status" in refused.output
        migration.assert_serves_locally()
        asked: list[str | Path] = [
            "ssh", "-i", tmp_path / "previews", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", f"root@{SERVER_ADDRESS}",
        ]  # fmt: skip
        for command in ("id", "status; touch /root/outside", f"python3 {AGENT} converge --phase local"):
            done = subprocess.run([*asked, command], text=True, capture_output=True)
            assert done.returncode == 1 and "may only ask for the status" in done.stdout, done
        assert not on_disk(Path("/root/outside")).exists()

        stack.set("phase", "mirror")
        on_disk(AUTHORIZED).write_text(before)
        administrators: list[str | Path] = [ROOT / ".venv/bin/media-store", "status", "--stack", stack.name]
        told = subprocess.run(administrators, cwd=ROOT, env=administrator.env, text=True, capture_output=True)
        assert told.returncode == 1 and "server.statusKeys" in told.stdout, told.stdout + told.stderr
        administrator.phase("mirror")
        assert on_disk(AUTHORIZED).read_text().startswith(before)
        told = subprocess.run(administrators, cwd=ROOT, env=previews.env, text=True, capture_output=True)
        assert told.returncode == 0 and "as the stack says" in told.stdout, told.stdout + told.stderr
        administrator.must("destroy", "--yes", "--skip-preview")
    assert on_disk(AUTHORIZED).read_text() == before and server.ssh("id -u").strip() == "0"
