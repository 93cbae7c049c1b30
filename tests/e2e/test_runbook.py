"""docs/runbook.md, followed word for word."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sandbox import engine, server, store, synapse
from sandbox.readme import copy_of_the_program, with_bucket
from sandbox.world import HOST_KEY, ROOT, SSH_KEY, run

from .world import BACKUP, STORE, fresh_server, mounted, on_disk, subset, synapse_runs

BUCKET = "runbook"


def chapters() -> list[list[str]]:
    """The commands of "The whole way", block by block."""
    text = (ROOT / "docs/runbook.md").read_text()
    section = text.partition("## The whole way, command by command")[2].partition("\n## ")[0]
    return [block.splitlines() for block in re.findall(r"```sh\n(.*?)\n```", section, re.DOTALL)]


def follow(commands: list[str], program: Path, env: Mapping[str, str], answers: str = "") -> str:
    """Run them one after the other, as in a shell; returns what they printed."""
    said = ""
    for number, command in enumerate(commands):
        done = subprocess.run(
            ["bash", "-c", command], cwd=program, env=env, text=True, input="" if number else answers,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said += done.stdout
        assert done.returncode == 0, f"{command}\n{said}"
    return said


def test_the_runbook_word_for_word_ends_in_clean_and_leads_back(sandbox: None, tmp_path: Path) -> None:
    fresh_server(thin=40)
    before = synapse.tree()
    store.empty_bucket(BUCKET)
    program = copy_of_the_program(tmp_path / "program")
    vars_file = tmp_path / "home/playbook/inventory/host_vars/matrix.example.com/vars.yml"
    vars_file.parent.mkdir(parents=True)
    vars_file.write_text(with_bucket(BUCKET))
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    run("cp", SSH_KEY, home / ".ssh/id_ed25519")
    (tmp_path / "state").mkdir()
    env = {
        **engine.environment(), "HOME": str(home), "PULUMI_BACKEND_URL": f"file://{tmp_path}/state",
        "PULUMI_SKIP_CONFIRMATIONS": "true",  # nobody is there to say yes
        "PYTHONPATH": str(program),  # `media-store` lies in the checkout's environment, and is to act on the copy
    }  # fmt: skip
    prepare, mirror, live, clean, back = chapters()

    follow(prepare[:1], program, env, answers="yes\n")
    # What differs in the sandbox only: where Synapse answers, and the programs, which cannot be downloaded there.
    goofys, rclone = (server.ssh(f"sha256sum /opt/{name}/{name}").split()[0] for name in ("goofys", "rclone"))
    for name, value in {
        "host.homeserverUrl": synapse.LOCAL_URL,
        "mount.goofysUrl": "file:///opt/goofys/goofys", "mount.goofysSha256": goofys,
        "mount.rcloneUrl": "file:///opt/rclone/rclone", "mount.rcloneSha256": rclone,
    }.items():  # fmt: skip
        follow([f"pulumi config set --path {name} {value} --stack prod"], program, env)
    follow(prepare[1:], program, env)
    assert "as the stack says" in follow(mirror, program, env)
    assert not mounted(STORE)
    assert "as the stack says" in follow(live, program, env)
    assert mounted(STORE) and on_disk(BACKUP).exists()
    assert "as the stack says" in follow(clean, program, env)
    assert mounted(STORE) and not on_disk(BACKUP).exists()
    assert "phase: live -> clean" in follow(back, program, env)
    assert not mounted(STORE) and subset(before, synapse.tree()) == []
    assert synapse_runs()
    assert not on_disk(Path("/etc/matrix-media-store")).exists()
    assert HOST_KEY.with_suffix(".pub").read_text().split()[1] in (program / "stacks/Pulumi.prod.yaml").read_text()
