"""Backblaze's own command line, as the manual procedure copies with it."""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from . import pace
from .console import Sometimes
from .context import Context
from .errors import Problem
from .files import write_atomic
from .settings import StoreSettings
from .system import CommandFailed

#: Which versions, each with its checksums; pip refuses any other.
REQUIREMENTS = "b2-requirements.txt"


def install(context: Context) -> Path:
    """The command line in a Python environment of its own; returns its program. Raises `Problem`."""
    folder = context.places.lib / "b2"
    program, wanted = folder / "bin/b2", pkgutil.get_data(__package__, REQUIREMENTS)
    assert wanted is not None
    done = folder / REQUIREMENTS
    if program.exists() and done.exists() and done.read_bytes() == wanted:
        return program
    context.say("installing the b2 command line")
    try:
        context.system.run([sys.executable or "python3", "-m", "venv", "--clear", str(folder)], timeout=300)
        listed = folder / "wanted.txt"
        listed.write_bytes(wanted)
        context.system.run(
            [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
             "--require-hashes", "--only-binary=:all:", "--requirement", str(listed)],
            timeout=900,
        )  # fmt: skip
    except CommandFailed as error:
        raise Problem(
            f"the b2 command line cannot be installed: {error}",
            "install python3-venv and let the server reach a Python package index, or set copy.method to rclone",
        ) from None
    write_atomic(done, wanted)
    return program


def sync_argv(program: Path, source: Path, bucket: str, exclude: list[str], threads: int) -> list[str]:
    """The manual procedure's sync, without a terminal; its exit status is 1 where a file failed."""
    left_out = "|".join(map(re.escape, exclude))
    return [
        str(program), "sync", "--threads", str(threads), "--no-progress", "--skip-newer",
        *(["--exclude-dir-regex", f"^({left_out})$"] if exclude else []),
        str(source), f"b2://{bucket}",
    ]  # fmt: skip


def environment(store: StoreSettings, account_info: Path) -> dict[str, str]:
    """What the command line takes from its environment, which only root may read."""
    return {
        "B2_APPLICATION_KEY_ID": store.access_key_id,
        "B2_APPLICATION_KEY": store.secret_access_key,
        "B2_ACCOUNT_INFO": str(account_info),
        **({"B2_ENVIRONMENT": store.b2_api} if store.b2_api else {}),
    }


def sync(context: Context, source: Path, files: int) -> None:
    """Copy the tree as it is. Raises CommandFailed with what b2 said; copied files stay and are compared."""
    migration, store = context.settings.migration, context.settings.store
    argv = sync_argv(install(context), source, store.bucket, migration.exclude, pace.at_once(context))
    last: list[str] = []
    done, progress = 0, Sometimes(context.say)
    with tempfile.TemporaryDirectory(dir=context.places.var, prefix="b2-") as folder:
        env = {**os.environ, **environment(store, Path(folder, "account_info"))}
        with subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
            text=True, errors="replace",
        ) as process:  # fmt: skip
            assert process.stdout
            for line in process.stdout:
                last = [*last[-9:], line.strip()]
                done += line.startswith("upload ")
                progress.say(f"b2: uploaded {done:,} of {files:,} files")
    context.say(f"b2: uploaded {done:,} of {files:,} files")
    if process.returncode:
        raise CommandFailed(argv, process.returncode, "\n".join(last))
