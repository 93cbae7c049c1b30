"""README's way to a first stack, typed as it stands there, for somebody with a playbook's vars.yml and a key."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import aws, b2, engine, server, store, synapse
from .world import ROOT, SERVER_ADDRESS, SSH_KEY, run

BUCKET = "readme-first-stack"
_VARS = f"""\
matrix_domain: example.com
matrix_server_fqn_matrix: "{SERVER_ADDRESS}"
"""


def with_bucket(bucket: str) -> str:
    """A vars.yml by which the playbook itself would mount a bucket of the sandbox's store."""
    return f"""\
{_VARS}matrix_s3_media_store_bucket_name: {bucket}
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
    "existing": Kind(with_bucket(BUCKET), "yes\n"),
    "aws": Kind(
        _VARS, f"yes\naws\n{aws.REGION}\n{BUCKET}\n",
        {
            "store.endpoint": store.ENDPOINT, "aws:skipRequestingAccountId": "true",
            "aws:skipCredentialsValidation": "true",
        },
    ),
    "b2": Kind(_VARS, f"yes\nb2\n{BUCKET}\n{b2.KEY_ID}\n{b2.KEY}\n", {"b2:endpoint": b2.ENDPOINT}),
}  # fmt: skip


def blocks(text: str) -> list[list[str]]:
    """The commands of "Your first stack" in README's text, block by block."""
    section = text.partition("## Your first stack")[2].partition("\n## ")[0]
    return [block.splitlines() for block in re.findall(r"```sh\n(.*?)\n```", section, re.DOTALL)]


def copy_of_the_program(folder: Path) -> Path:
    """As somebody has it who cloned and installed it."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def service(kind: str) -> dict[str, str]:
    """The store's own side, without a bucket of that name; what it takes of the environment."""
    if kind == "aws":
        aws.up()
        aws.forget_users()
        aws.forget_bucket(BUCKET)
        return {**aws.environment()}
    if kind == "b2":
        b2.up()
        b2.forget_keys()
        b2.forget_bucket(BUCKET)
    else:
        store.empty_bucket(BUCKET)
    return {}


@dataclass(frozen=True)
class Newcomer:
    """Somebody who has the program, a vars.yml and a key, and nothing else."""

    home: Path
    program: Path
    env: Mapping[str, str]
    kind: Kind

    def types(self, commands: list[str]) -> subprocess.CompletedProcess[str]:
        """Run commands in one shell that ends where one fails; answers go to its standard input."""
        return subprocess.run(
            ["bash", "-ec", "\n".join(commands)], cwd=self.program, env=self.env, text=True, input=self.kind.answers,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def must(self, commands: list[str]) -> str:
        """What commands print. Raises RuntimeError where one fails."""
        done = self.types(commands)
        if done.returncode:
            raise RuntimeError(done.stdout)
        return done.stdout

    def once(self, commands: list[str]) -> list[str]:
        """What is typed once. What it would install is there, and the sandbox's providers come from no index.

        The engine takes the home of the user who runs it for the state, whatever HOME says.
        """
        state = f"file://{self.home}"
        return [line.replace("--local", state) for line in commands if not line.startswith("pulumi install")]

    def script(self) -> list[str]:
        """README's commands, and between them what differs in the sandbox only."""
        once, commands = blocks((ROOT / "README.md").read_text())
        goofys, rclone = (server.ssh(f"sha256sum /opt/{name}/{name}").split()[0] for name in ("goofys", "rclone"))
        settings = {
            "host.homeserverUrl": synapse.LOCAL_URL,
            "mount.goofysUrl": "file:///opt/goofys/goofys", "mount.goofysSha256": goofys,
            "mount.rcloneUrl": "file:///opt/rclone/rclone", "mount.rcloneSha256": rclone,
            **self.kind.settings,
        }  # fmt: skip
        return [
            *self.once(once),
            commands[0],
            *(f"pulumi config set --path {name} {value} --stack prod" for name, value in settings.items()),
            *commands[1:],
        ]


def newcomer(folder: Path, kind: str) -> Newcomer:
    """A newcomer at home in `folder`, and the service that the kind of store needs."""
    home = folder / "home"
    vars_file = home / "playbook/inventory/host_vars/matrix.example.com/vars.yml"
    vars_file.parent.mkdir(parents=True)
    vars_file.write_text(KINDS[kind].vars)
    (home / ".ssh").mkdir()
    run("cp", SSH_KEY, home / ".ssh/id_ed25519")
    program = copy_of_the_program(folder / "program")
    env = {
        **engine.environment(), **service(kind), "HOME": str(home), "PULUMI_SKIP_CONFIRMATIONS": "true",
        "PYTHONPATH": str(program),  # `media-store` lies in the checkout's environment, and is to act on the copy
    }  # fmt: skip
    del env["PULUMI_CONFIG_PASSPHRASE"]
    return Newcomer(home, program, env, KINDS[kind])
