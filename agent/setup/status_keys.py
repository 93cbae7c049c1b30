"""This module lays SSH keys that may ask for the status and nothing else: for previews in CI.

Each is a line in the SSH user's `authorized_keys` that runs the agent whatever was asked for. The journal names the
file before it is written, so that its lines are found again whoever the user is then. If the power fails, the file is
the old one or the new one. https://man7.org/linux/man-pages/man8/sshd.8.html
"""

from __future__ import annotations

import os
import pwd
import shlex
from pathlib import Path

from ..host.files import write_atomic
from ..state.journal import Journal
from ..state.run import Run, Server

#: How each line that is ours begins.
BEGINNING = 'restrict,command="'
#: How each line that is ours ends.
MARK = "matrix-media-store-status"


def lines(server: Server) -> list[str]:
    """Return the lines for the keys as sshd reads them: they allow the command alone, no terminal, no forwarding."""
    host = server.settings.host
    sudo = [] if host.ssh_user == "root" else ["sudo", "-n"]
    command = shlex.join([*sudo, "python3", str(server.layout.agent), "asked", "--"])
    # What was asked for is an argument, since sudo passes no environment on; the quotes are escaped for sshd.
    return [f'{BEGINNING}{command} \\"$SSH_ORIGINAL_COMMAND\\"" {key} {MARK}' for key in host.status_keys]


def merged(text: str, wanted: list[str]) -> str:
    """Return the file's text with the `wanted` lines in the place of all that are ours. It is pure."""
    others = [line for line in text.removesuffix("\n").split("\n") if not _is_ours(line)] if text else []
    return "".join(f"{line}\n" for line in [*others, *wanted])


def _is_ours(line: str) -> bool:
    return line.startswith(BEGINNING) and line.endswith(f" {MARK}")


def lay(run: Run) -> None:
    """Let the keys that the stack names ask for the status, and those that it named earlier no longer."""
    file = _file(run.server)
    remove(run, but=file)
    if run.settings.host.status_keys:
        run.journal.note_status_keys(str(file))
        run.journal.save()
        _write(file, merged(_read(file), lines(run.server)))
    else:
        remove(run)


def remove(run: Run, but: Path | None = None) -> None:
    """Take all our keys out of the file that the journal names, unless that is `but`."""
    told = run.journal.installed.status_keys
    if told and Path(told) != but:
        if Path(told).exists():
            _write(Path(told), merged(_read(Path(told)), []))
        run.journal.note_status_keys("")
        run.journal.save()


def differences(server: Server, journal: Journal) -> list[str]:
    """Return a line if the file does not have our keys as they were laid, and nothing otherwise."""
    told = journal.installed.status_keys
    if told and [line for line in _read(Path(told)).split("\n") if _is_ours(line)] != lines(server):
        return [f"{told} does not have the keys of server.statusKeys as they were laid"]
    return []


def _file(server: Server) -> Path:
    home = pwd.getpwnam(server.settings.host.ssh_user).pw_dir
    return (server.layout.root / home.lstrip("/") / ".ssh/authorized_keys").resolve()


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8", "surrogateescape")  # comments may be in any encoding
    except FileNotFoundError:
        return ""


def _write(file: Path, text: str) -> None:
    """Write the file with its owner and mode: sshd refuses keys in a file or folder of somebody else."""
    if not file.parent.exists():
        home = file.parent.parent.stat()
        file.parent.mkdir(mode=0o700)
        os.chown(file.parent, home.st_uid, home.st_gid)
    owner = (file if file.exists() else file.parent).stat()
    mode = owner.st_mode & 0o777 if file.exists() else 0o600
    write_atomic(file, text.encode("utf-8", "surrogateescape"), mode, (owner.st_uid, owner.st_gid))
