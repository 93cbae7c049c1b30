"""One connection to the server, for the engine's commands and for the program's own question."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
from pulumi_command.remote import ConnectionArgs

from ..settings import Server

#: Seconds for a connection to stand, as in the command provider.
DIAL_SECONDS = 15


class Unreachable(Exception):
    """The server did not answer over SSH, or refused the key."""


@dataclass(frozen=True)
class Connection:
    """Host, user, key, and the one host key that is accepted."""

    host: str
    port: int
    user: str
    host_key: str
    private_key: str = field(repr=False)

    @classmethod
    def of(cls, server: Server) -> Connection:
        return cls(
            host=server.host,
            port=server.port,
            user=server.user,
            host_key=" ".join(server.host_key.split()[:2]),
            private_key=server.private_key.get_secret_value().strip() + "\n",
        )

    def args(self) -> ConnectionArgs:
        """For `command.remote.Command`."""
        return ConnectionArgs(
            host=self.host,
            port=self.port,
            user=self.user,
            host_key=self.host_key,
            private_key=pulumi.Output.secret(self.private_key),
        )

    def ask(self, command: str, stdin: str, timeout: float) -> str:
        """Run a command now; returns its standard output, whatever its exit status.

        Raises Unreachable with ssh's own words. The key lies in a 0600 file only meanwhile.
        """
        with tempfile.TemporaryDirectory(prefix="matrix-media-store-") as folder:
            key, known = Path(folder, "key"), Path(folder, "known_hosts")
            key.touch(0o600)
            key.write_text(self.private_key)
            known.write_text(f"[{self.host}]:{self.port} {self.host_key}\n{self.host} {self.host_key}\n")
            options = {
                "BatchMode": "yes",
                "StrictHostKeyChecking": "yes",
                "UserKnownHostsFile": str(known),
                "GlobalKnownHostsFile": "/dev/null",
                "HostKeyAlgorithms": _algorithms(self.host_key),
                "IdentitiesOnly": "yes",
                "ConnectTimeout": str(DIAL_SECONDS),
                "ServerAliveInterval": "15",
                "LogLevel": "ERROR",
            }
            argv = ["ssh", "-F", "none", "-T", "-i", str(key), "-p", str(self.port), "-l", self.user]
            argv += [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
            try:
                done = subprocess.run(
                    [*argv, "--", self.host, command],
                    input=stdin,
                    capture_output=True,
                    text=True,
                    timeout=timeout,
                )
            except subprocess.TimeoutExpired:
                raise Unreachable(f"{self.host} did not answer within {timeout:.0f} s") from None
        if done.returncode == 255:
            raise Unreachable(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "ssh failed")
        return done.stdout or done.stderr


def _algorithms(host_key: str) -> str:
    kind = host_key.split()[0]
    return "rsa-sha2-512,rsa-sha2-256" if kind == "ssh-rsa" else kind
