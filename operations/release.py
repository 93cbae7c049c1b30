"""`python -m operations.release` lays what a release is made of: program, agent, notes, and their checksums.

They lie in release/. The version is that of pyproject.toml, and CHANGELOG.md has its notes. The same commit gives the
same files.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from components.host import zipapp

from .workspace import PROGRAM, ROOT, OperationError

FOLDER = ROOT / "release"
#: What stands behind a version in the changelog as long as it may still change.
OPEN = "not released yet"


def version() -> str:
    """Return the program's version."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def notes(changelog: str, wanted: str) -> str:
    """Return what a changelog says of a version. Raises OperationError where it has no section for it. It is pure."""
    found = re.search(rf"^## {re.escape(wanted)}\b(.*)\n((?:(?!^## ).*\n?)*)", changelog, re.MULTILINE)
    if not found or not found[2].strip():
        raise OperationError(f"CHANGELOG.md has no section {wanted} -- write what is new for those who use it")
    if OPEN in found[1]:
        raise OperationError(f"CHANGELOG.md says that {wanted} is {OPEN} -- give it its date")
    return f"{found[2].strip()}\n"


def checked_tag(tag: str, wanted: str) -> None:
    """Raise OperationError where a tag is there and is not the version's."""
    if tag and tag != f"v{wanted}":
        raise OperationError(f"the tag is {tag}, and pyproject.toml says {wanted} -- correct one of them")


def lay(folder: Path, text: str, wanted: str) -> list[str]:
    """Write a release's files to a new folder, and return their names. Raises OSError where that cannot be done."""
    folder.mkdir()
    name = f"{PROGRAM}-{wanted}"
    tree = ["git", "archive", "--format=tar.gz", f"--prefix={name}/", f"--output={folder / name}.tar.gz", "HEAD"]
    subprocess.run(tree, cwd=ROOT, check=True)
    (folder / "agent.pyz").write_bytes(zipapp.build())
    (folder / "NOTES.md").write_text(text)
    names = sorted(path.name for path in folder.iterdir())
    sums = "".join(f"{hashlib.sha256((folder / each).read_bytes()).hexdigest()}  {each}\n" for each in names)
    (folder / "SHA256SUMS").write_text(sums)
    return [*names, "SHA256SUMS"]


def main() -> int:
    """Lay the release, and return the exit status: 0, or 2 where something is not ready for it."""
    try:
        wanted = version()
        checked_tag(os.environ.get("GITHUB_REF_NAME", ""), wanted)
        text = notes((ROOT / "CHANGELOG.md").read_text(), wanted)
        if FOLDER.exists():
            raise OperationError("release/ is there already -- remove it")
        print("\n".join(f"release/{name}" for name in lay(FOLDER, text, wanted)))
    except OperationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
