"""This module is the connection to the server, for the engine's commands and for the program's own question."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
from pulumi_command.remote import ConnectionArgs, ProxyConnectionArgs

from ..settings import Server

#: Seconds for a connection to stand, as in the command provider.
DIAL_SECONDS = 15
#: Seconds for which the session's SSH agent may take to be reached.
AGENT_SECONDS = 5
_ASKPASS = Path(__file__).with_name("askpass.py")


class Unreachable(Exception):
    """This error says that the server did not answer over SSH, or refused the key."""


@dataclass(frozen=True)
class Hop:
    """A `Hop` is a machine that SSH goes to, with the one host key that is accepted there."""

    host: str
    port: int
    user: str
    host_key: str


@dataclass(frozen=True)
class Connection:
    """A `Connection` is the server, the jump host before it if there is one, and the key for both.

    Where the key is empty, the SSH agent's keys are used.
    """

    server: Hop
    jump: Hop | None = None
    private_key: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, server: Server) -> Connection:
        """Return the connection that the stack's settings describe."""
        jump = Hop(server.jump_host, server.jump_port, server.jump_user, _type_and_key(server.jump_host_key))
        key = server.private_key.get_secret_value().strip()
        return cls(
            server=Hop(server.host, server.port, server.user, _type_and_key(server.host_key)),
            jump=jump if server.jump_host else None,
            private_key=f"{key}\n" if key else "",
            password=server.private_key_password.get_secret_value(),
        )

    @property
    def user(self) -> str:
        """Return the SSH user on the server."""
        return self.server.user

    def args(self) -> ConnectionArgs:
        """Return the arguments for `command.remote.Command`, which finds the SSH agent by itself.

        https://www.pulumi.com/registry/packages/command/api-docs/remote/command/
        """
        key = pulumi.Output.secret(self.private_key) if self.private_key else None
        password = pulumi.Output.secret(self.password) if self.password else None
        proxy = None
        if self.jump:
            proxy = ProxyConnectionArgs(
                host=self.jump.host,
                port=self.jump.port,
                user=self.jump.user,
                host_key=self.jump.host_key,
                private_key=key,
                private_key_password=password,
            )
        return ConnectionArgs(
            host=self.server.host,
            port=self.server.port,
            user=self.server.user,
            host_key=self.server.host_key,
            private_key=key,
            private_key_password=password,
            proxy=proxy,
        )

    def ask(self, command: str, stdin: str, timeout: float) -> str:
        """Run a command now, and return its standard output, whatever its exit status; `timeout` is in seconds.

        Where that is empty it is the standard error. Raises Unreachable with ssh's own words. The key and its password
        lie in files of mode 0600 meanwhile, and only then.
        """
        with tempfile.TemporaryDirectory(prefix="matrix-media-store-") as name:
            folder = Path(name)
            for file, text in {
                "config": ssh_config(self, folder),
                "known_hosts": known_hosts(self),
                "key": self.private_key,
                "password": self.password,
            }.items():
                (folder / file).touch(0o600)
                (folder / file).write_text(text)
            environment = dict(os.environ)
            if self.password:
                environment |= {
                    "SSH_ASKPASS": str(_ASKPASS),
                    "SSH_ASKPASS_REQUIRE": "force",
                    "MATRIX_MEDIA_STORE_ANSWER": str(folder / "password"),
                }
            try:
                done = subprocess.run(
                    ["ssh", "-F", str(folder / "config"), "-T", "--", "server", command],
                    env=environment,
                    input=stdin,
                    capture_output=True,
                    text=True,
                    timeout=timeout,
                )
            except subprocess.TimeoutExpired:
                raise Unreachable(f"{self.server.host} did not answer within {timeout:.0f} s") from None
        if done.returncode == 255:
            raise Unreachable("; ".join(done.stderr.strip().splitlines()[-3:]) or "ssh failed")
        return done.stdout or done.stderr


def agent_trouble() -> str:
    """Return why the SSH agent of this session does not answer; the text is empty where it does, or there is none.

    The command provider asks the one that SSH_AUTH_SOCK names, whatever keys it has besides, and fails where nobody
    answers there: https://github.com/pulumi/pulumi-command/blob/v1.2.1/provider/pkg/provider/remote/connection.go
    """
    path = os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        return ""
    try:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(AGENT_SECONDS)
            agent.connect(path)
    except OSError as error:
        return (
            f"SSH_AUTH_SOCK names {path}, where no SSH agent answers ({error.strerror or error}), and the command "
            "provider gives up at that -- unset SSH_AUTH_SOCK, or start the agent again"
        )
    return ""


def ssh_config(connection: Connection, folder: Path) -> str:
    """Return ssh's configuration with its files in `folder`. It is pure.

    https://man7.org/linux/man-pages/man5/ssh_config.5.html
    """
    options = {
        "BatchMode": "no" if connection.password else "yes",
        "PreferredAuthentications": "publickey",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{folder}/known_hosts"',
        "GlobalKnownHostsFile": "/dev/null",
        "ConnectTimeout": DIAL_SECONDS,
        "ServerAliveInterval": 15,
        "LogLevel": "ERROR",
        # Without a key it is the agent's, and none that lies about: the command provider tries no others.
        **(
            {"IdentitiesOnly": "yes", "IdentityFile": f'"{folder}/key"'}
            if connection.private_key
            else {"IdentityFile": "none"}
        ),
    }
    lines = []
    for name, hop in _hops(connection).items():
        own = {
            "HostName": hop.host.replace("%", "%%"),
            "HostKeyAlias": name,
            "HostKeyAlgorithms": hop.host_key.split()[0],
            "Port": hop.port,
            "User": hop.user,
            **({"ProxyJump": "jump"} if name == "server" and connection.jump else {}),
        }
        lines += [f"Host {name}", *(f"  {option} {value}" for option, value in {**own, **options}.items())]
    return "\n".join(lines) + "\n"


def known_hosts(connection: Connection) -> str:
    """Return the text of a known_hosts file with the one key that is accepted of each machine. It is pure."""
    return "".join(f"{name} {hop.host_key}\n" for name, hop in _hops(connection).items())


def _hops(connection: Connection) -> dict[str, Hop]:
    return {"server": connection.server, **({"jump": connection.jump} if connection.jump else {})}


def _type_and_key(host_key: str) -> str:
    return " ".join(host_key.split()[:2])
