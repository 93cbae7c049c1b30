"""README's way to a first stack, typed word for word by a script that reads it there, for each kind of store."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sandbox import aws, b2, engine, server, store, synapse
from sandbox.world import ROOT, SERVER_ADDRESS, SSH_KEY, run

from .test_runbook import copy_of_the_program
from .world import BACKUP, STORE, fresh_server, journal, mounted, on_disk, synapse_runs

BUCKET = "readme-first-stack"
VARS = f"""\
matrix_domain: example.com
matrix_server_fqn_matrix: "{SERVER_ADDRESS}"
"""
ITS_BUCKET = f"""\
matrix_s3_media_store_bucket_name: {BUCKET}
matrix_s3_media_store_aws_access_key: "{store.ACCESS_KEY_ID}"
matrix_s3_media_store_aws_secret_key: "{store.SECRET_ACCESS_KEY}"
matrix_s3_media_store_region: {store.REGION}
matrix_s3_media_store_custom_endpoint_enabled: true
matrix_s3_media_store_custom_endpoint: "{store.ENDPOINT}"
"""


@dataclass(frozen=True)
class Kind:
    """What somebody has and answers for a kind of store, and what differs in the sandbox only."""

    vars: str
    answers: str
    settings: Mapping[str, str] = field(default_factory=dict)


KINDS = {
    "existing": Kind(VARS + ITS_BUCKET, "yes\n"),
    "aws": Kind(
        VARS, f"yes\naws\n{aws.REGION}\n{BUCKET}\n",
        {
            "store.endpoint": store.ENDPOINT, "aws:skipRequestingAccountId": "true",
            "aws:skipCredentialsValidation": "true",
        },
    ),
    "b2": Kind(VARS, f"yes\nb2\n{BUCKET}\n{b2.KEY_ID}\n{b2.KEY}\n", {"b2:endpoint": b2.ENDPOINT}),
}  # fmt: skip


def blocks() -> list[list[str]]:
    """The commands of "Your first stack", block by block."""
    section = (ROOT / "README.md").read_text().partition("## Your first stack")[2].partition("\n## ")[0]
    return [block.splitlines() for block in re.findall(r"```sh\n(.*?)\n```", section, re.DOTALL)]


def service(kind: str) -> dict[str, str]:
    """The store's own side, without a bucket; what it takes of the environment."""
    if kind == "existing":
        store.empty_bucket(BUCKET)
    elif kind == "aws":
        aws.up()
        aws.forget_users()
        aws.forget_bucket(BUCKET)
        return {**aws.environment()}
    else:
        b2.up()
        b2.forget_keys()
        b2.forget_bucket(BUCKET)
    return {}


@pytest.mark.parametrize("kind", [pytest.param("existing", marks=pytest.mark.nightly), "aws", "b2"])
def test_readmes_five_commands_lead_from_nothing_to_live(sandbox: None, tmp_path: Path, kind: str) -> None:
    fresh_server(thin=20)
    case, home = KINDS[kind], tmp_path / "home"
    program = copy_of_the_program(tmp_path / "program")
    vars_file = home / "playbook/inventory/host_vars/matrix.example.com/vars.yml"
    vars_file.parent.mkdir(parents=True)
    vars_file.write_text(case.vars)
    (home / ".ssh").mkdir()
    run("cp", SSH_KEY, home / ".ssh/id_ed25519")
    env = {
        **engine.environment(), **service(kind), "HOME": str(home), "PULUMI_SKIP_CONFIRMATIONS": "true",
        "PYTHONPATH": str(program),  # `media-store` lies in the checkout's environment, and is to act on the copy
    }  # fmt: skip
    del env["PULUMI_CONFIG_PASSPHRASE"]
    once, commands = blocks()
    assert len(commands) == 5 and commands[0].startswith("media-store init")
    goofys, rclone = (server.ssh(f"sha256sum /opt/{name}/{name}").split()[0] for name in ("goofys", "rclone"))
    settings = {
        "host.homeserverUrl": synapse.LOCAL_URL,
        "mount.goofysUrl": "file:///opt/goofys/goofys", "mount.goofysSha256": goofys,
        "mount.rcloneUrl": "file:///opt/rclone/rclone", "mount.rcloneSha256": rclone,
        **case.settings,
    }  # fmt: skip
    script = [
        # What it would install is there, and the sandbox's providers come from no index.
        *(line for line in once if not line.startswith("pulumi install")),
        commands[0],
        *(f"pulumi config set --path {name} {value} --stack prod" for name, value in settings.items()),
        *commands[1:],
    ]
    before = os.environ.get("PULUMI_BACKEND_URL")
    done = subprocess.run(
        ["bash", "-ec", "\n".join(script)], cwd=program, env=env, text=True, input=case.answers,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0 and before is None, done.stdout
    assert mounted(STORE) and on_disk(BACKUP).exists() and synapse_runs()
    assert journal()["phase"] == "live" and "phase: mirror -> live" in done.stdout
    twice = subprocess.run(["bash", "-ec", once[1]], cwd=program, env=env, text=True, capture_output=True)
    assert twice.returncode and "cannot overwrite" in twice.stderr, "the passphrase is not made anew"
