"""This module copies with Backblaze's own command line, as the manual procedure does."""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..host.files import write_atomic
from ..host.processes import as_owner
from ..media.names import LOST_AND_FOUND
from ..model.errors import CommandFailed, Problem
from ..model.layout import RESERVED
from ..model.settings import StoreSettings
from ..state.run import Server
from .progress import Sometimes
from .silence import Silence

if TYPE_CHECKING:
    from ..model.ports import Say

#: Seconds without a line after which it is taken for stopped: it says one for each file, and one may be large.
SILENT_SECONDS = 6 * 3600.0
#: Which versions, each with its checksums; pip refuses any other.
REQUIREMENTS = "b2-requirements.txt"


def install(server: Server, say: Say) -> Path:
    """Install the command line in a Python environment of its own, and return the path of its program.

    Every user may read it, since it runs with the rights of the store's owner. Raises `Problem` where it cannot be
    installed.
    """
    folder = server.layout.lib / "b2"
    program, wanted = folder / "bin/b2", pkgutil.get_data(__package__, REQUIREMENTS)
    assert wanted is not None
    done = folder / REQUIREMENTS
    everybodys = folder.exists() and folder.stat().st_mode & 0o005
    if everybodys and program.exists() and done.exists() and done.read_bytes() == wanted:
        return program
    say("installing the b2 command line")
    umask = os.umask(0o022)
    try:
        server.system.run([sys.executable or "python3", "-m", "venv", "--clear", str(folder)], timeout=300)
        listed = folder / "wanted.txt"
        listed.write_bytes(wanted)
        server.system.run(
            [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
             "--require-hashes", "--only-binary=:all:", "--requirement", str(listed)],
            timeout=900,
        )  # fmt: skip
    except CommandFailed as error:
        raise Problem(
            f"the b2 command line cannot be installed: {error}",
            "install python3-venv and let the server reach a Python package index, or set copy.method to rclone",
        ) from None
    finally:
        os.umask(umask)
    write_atomic(done, wanted)
    return program


def sync_argv(program: Path, source: Path, bucket: str, exclude: list[str], threads: int) -> list[str]:
    """Return the command of the manual procedure's sync, without a terminal; it exits with 1 where a file failed."""
    left_out = "|".join([f"{re.escape(RESERVED)}.*", *map(re.escape, [LOST_AND_FOUND, *exclude])])
    return [
        str(program), "sync", "--threads", str(threads), "--no-progress", "--skip-newer", "--exclude-all-symlinks",
        "--exclude-dir-regex", f"^({left_out})$",
        str(source), f"b2://{bucket}",
    ]  # fmt: skip


def environment(store: StoreSettings, account_info: Path) -> dict[str, str]:
    """Return the variables that the command line reads from its environment, the keys among them.

    There is no file at `account_info`: so it keeps what it is given, and what it gets for that, in its memory.
    """
    return {
        "B2_APPLICATION_KEY_ID": store.access_key_id,
        "B2_APPLICATION_KEY": store.secret_access_key,
        "B2_ACCOUNT_INFO": str(account_info),
        **({"B2_ENVIRONMENT": store.b2_api} if store.b2_api else {}),
    }


def sync(server: Server, argv: list[str], owner: tuple[int, int], files: int, say: Say) -> None:
    """Run `sync_argv`'s command with the rights of `owner`, and say how far it is of `files`.

    Raises CommandFailed with what b2 said. Copied files stay and are compared.
    """
    last: list[str] = []
    done, progress = 0, Sometimes(say)
    env = {**os.environ, **environment(server.settings.store, server.layout.var / "no-account-info")}
    with subprocess.Popen(
        as_owner(argv, *owner), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
        text=True, errors="replace", cwd="/",
    ) as process:  # fmt: skip
        assert process.stdout
        silence = Silence(process, SILENT_SECONDS)
        for line in process.stdout:
            silence.broken()
            last = [*last[-9:], line.strip()]
            done += line.startswith("upload ")
            progress.say(f"b2: uploaded {done:,} of {files:,} files")
    say(f"b2: uploaded {done:,} of {files:,} files")
    if process.returncode:
        raise CommandFailed(argv, process.returncode, "\n".join(last))
