"""SSH keys that may ask for the status and nothing else: for previews in CI.

Each is a line in the SSH user's `authorized_keys` that runs the agent whatever was asked for. The journal names
the file before it is written, so that its lines are found again whoever the user is then. If the power fails,
the file is the old one or the new one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import shlex
from pathlib import Path

from .context import Context
from .errors import Problem
from .files import write_atomic

#: How each line that is ours begins and ends.
BEGINNING, MARK = 'restrict,command="', "matrix-media-store-status"
#: Seconds that such a key may have the agent wait for a run to end.
LONGEST_WAIT = 300.0


def lines(context: Context) -> list[str]:
    """As sshd takes them. Nothing but the command runs: no terminal, no forwarding."""
    host = context.settings.host
    sudo = [] if host.ssh_user == "root" else ["sudo", "-n"]
    command = shlex.join([*sudo, "python3", str(context.places.agent), "asked", "--"])
    # What was asked for is an argument, since sudo passes no environment on; the quotes are escaped for sshd.
    return [f'{BEGINNING}{command} \\"$SSH_ORIGINAL_COMMAND\\"" {key} {MARK}' for key in host.status_keys]


def merged(text: str, wanted: list[str]) -> str:
    """The file's text with these lines of ours and no other ones. Pure."""
    others = [line for line in text.removesuffix("\n").split("\n") if not _is_ours(line)] if text else []
    return "".join(f"{line}\n" for line in [*others, *wanted])


def _is_ours(line: str) -> bool:
    return line.startswith(BEGINNING) and line.endswith(f" {MARK}")


def lay(context: Context) -> None:
    """Keys that the stack names may ask; those that it named earlier no longer."""
    file = _file(context)
    remove(context, but=file)
    if context.settings.host.status_keys:
        context.journal.facts["status_keys"] = str(file)
        context.save()
        _write(file, merged(_read(file), lines(context)))
    else:
        remove(context)


def remove(context: Context, but: Path | None = None) -> None:
    """None may ask any more."""
    told = context.journal.facts.get("status_keys")
    if told and Path(told) != but:
        if Path(told).exists():
            _write(Path(told), merged(_read(Path(told)), []))
        del context.journal.facts["status_keys"]
        context.save()


def differences(context: Context) -> list[str]:
    """A line if the file does not say of our keys what it should."""
    told = context.journal.facts.get("status_keys")
    if told and [line for line in _read(Path(told)).split("\n") if _is_ours(line)] != lines(context):
        return [f"{told} does not have the keys of server.statusKeys as they were laid"]
    return []


def question(parser: argparse.ArgumentParser, command: str) -> argparse.Namespace:
    """What a command asks for, if it is the status. Raises `Problem` for all else.

    Settings that come along are not looked at: the server's own ones say which programs and files are used.
    """
    with contextlib.suppress(ValueError, SystemExit):  # no words, or no arguments of the agent's
        words = shlex.split(command)
        asked = parser.parse_args(words[words.index("status") :])
        asked.settings, asked.wait = "{}", min(asked.wait, LONGEST_WAIT)
        return asked
    raise Problem("this SSH key may only ask for the status", "use the stack's own key for anything else")


def _file(context: Context) -> Path:
    home = pwd.getpwnam(context.settings.host.ssh_user).pw_dir
    return (context.places.root / home.lstrip("/") / ".ssh/authorized_keys").resolve()


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8", "surrogateescape")  # comments may be in any encoding
    except FileNotFoundError:
        return ""


def _write(file: Path, text: str) -> None:
    """sshd refuses keys in a file or folder of somebody else: both stay the user's."""
    if not file.parent.exists():
        home = file.parent.parent.stat()
        file.parent.mkdir(mode=0o700)
        os.chown(file.parent, home.st_uid, home.st_gid)
    owner = (file if file.exists() else file.parent).stat()
    mode = owner.st_mode & 0o777 if file.exists() else 0o600
    write_atomic(file, text.encode("utf-8", "surrogateescape"), mode, (owner.st_uid, owner.st_gid))
