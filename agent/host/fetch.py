"""This module fetches programs that are known by their content before they are used.

What is true if the power fails: a program is whole and checked before it has its name. What was checked is noted beside
it afterwards; without the note it is fetched once more.
"""

from __future__ import annotations

import hashlib
import os
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

from ..model.errors import Problem
from ..model.programs import Program
from .files import read_json, sync_folder, write_json

#: The end of the name of what was noted of a program.
NOTE = ".json"
#: Bytes that are read at once.
BLOCK = 1 << 20
#: Seconds for which the place that a program is fetched from may be silent.
SILENT_SECONDS = 60
#: A program has fewer bytes than this, also one that comes in an archive.
LARGEST = 1 << 30


def fetch(program: Program, target: Path) -> bool:
    """Put a program at `target`, executable, and return whether its content was not there yet.

    What arrives may be the program itself, or a zip archive that has it. Raises `Problem` where it cannot be had, or is
    another file than the pinned one.
    """
    if not what_differs(program, target):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    before = _sha256(target) if target.is_file() else ""
    arrived, new = (target.with_name(f".{target.name}.{end}") for end in ("arrived", "new"))
    try:
        now = _download(program, arrived)
        if zipfile.is_zipfile(arrived):
            now = _unpack(program, arrived, new)
        else:
            os.replace(arrived, new)
        os.replace(new, target)
    finally:
        for path in (arrived, new):
            path.unlink(missing_ok=True)
    sync_folder(target.parent)
    write_json(_note(target), {"pin": program.sha256, "sha256": now, "seen": _metadata(target)})
    return now != before


def what_differs(program: Program, target: Path) -> str:
    """Return in what the file at `target` is not the pinned program: `is missing` or `was changed`; or nothing.

    A large file is read only where its metadata is not what it was when it was last found right.
    """
    if not target.is_file():
        return "is missing"
    try:
        note = read_json(_note(target))
    except Problem:
        note = None
    if not isinstance(note, dict) or note.get("pin") != program.sha256:
        return "" if _sha256(target) == program.sha256 else "was changed"
    if note.get("seen") != _metadata(target) and note.get("sha256") != _sha256(target):
        return "was changed"
    return ""


def remove(target: Path) -> None:
    """Take a program away, if it is there."""
    for path in (target, _note(target)):
        path.unlink(missing_ok=True)


def _note(target: Path) -> Path:
    return target.with_name(f"{target.name}{NOTE}")


def _metadata(path: Path) -> list[int]:
    info = path.stat()
    return [info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_mode & 0o777]


def _download(program: Program, arrived: Path) -> str:
    """Write what the program's address has to `arrived`, and return its SHA-256."""
    name, url = program.name, program.url
    try:
        with urllib.request.urlopen(url, timeout=SILENT_SECONDS) as answer, open(arrived, "wb") as file:
            found = _copy(answer, file)
    except OSError as error:
        raise Problem(
            f"{name} cannot be had from {url}: {error}",
            "make that address reachable from the server; or fetch that very file elsewhere, put it on the server, "
            f"and set mount.{name}Url to file:///path/of/it and mount.{name}Sha256 to {program.sha256}",
        ) from None
    if found != program.sha256:
        raise Problem(
            f"{name} from {url} has SHA-256 {found}, not {program.sha256}",
            f"check the download; set mount.{name}Sha256 only to the sum of a file you trust",
        )
    arrived.chmod(0o755)
    return found


def _unpack(program: Program, archive: Path, target: Path) -> str:
    """Write the one program in an archive to `target`, and return its SHA-256."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            inside = [item for item in zipped.infolist() if PurePosixPath(item.filename).name == program.name]
            if len(inside) != 1:
                raise Problem(
                    f"the archive from {program.url} has {len(inside)} files called {program.name}",
                    f"set mount.{program.name}Url to an archive with one, or to the program itself",
                )
            with zipped.open(inside[0]) as packed, open(target, "wb") as file:
                found = _copy(packed, file)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise Problem(
            f"the archive from {program.url} cannot be read: {error}",
            f"set mount.{program.name}Url to another one, or to the program itself",
        ) from None
    target.chmod(0o755)
    return found


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy a stream, see it on disk, and return its SHA-256. Raises OSError where it is longer than any program."""
    digest = hashlib.sha256()
    for block in iter(lambda: source.read(BLOCK), b""):
        digest.update(block)
        target.write(block)
        if target.tell() > LARGEST:
            raise OSError("it is longer than any program")
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()
