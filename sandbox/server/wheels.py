"""What servers that reach no package index install the b2 command line from."""

from __future__ import annotations

from packaging.requirements import Requirement

from ..world import HOME, ROOT, run, tell
from .kinds import Kind

FOLDER = HOME / "wheels"
REQUIREMENTS = ROOT / "agent/copying/b2-requirements.txt"


def fetch(*wanted: Kind) -> None:
    """Fetch the wheels for the Pythons of these kinds of servers; once for each list of versions."""
    for python in dict.fromkeys(kind.python for kind in wanted):
        asked, stamp = pinned(REQUIREMENTS.read_text(), python), FOLDER / f"requirements-{python}.txt"
        if stamp.exists() and stamp.read_text() == asked:
            continue
        tell(f"fetching the b2 command line for Python {python} ...")
        FOLDER.mkdir(parents=True, exist_ok=True)
        new = stamp.with_suffix(".new")
        new.write_text(asked)
        run(
            HOME.parent / ".venv/bin/pip", "download", "--quiet", "--dest", FOLDER, "--python-version", python,
            "--only-binary=:all:", "--no-deps", "--require-hashes", "--requirement", new,
        )  # fmt: skip
        new.rename(stamp)


def pinned(requirements: str, python: str) -> str:
    """Return the lines that hold for a Python: pip's own `download` judges them by the Python that it runs on.

    https://github.com/pypa/pip/issues/11198
    """
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    kept = []
    for line in requirements.replace("\\\n", "").splitlines():
        requirement, *hashes = line.split(" --hash=")
        if requirement.strip() and not requirement.startswith("#"):
            parsed = Requirement(requirement)
            if parsed.marker is None or parsed.marker.evaluate(environment):
                kept.append(" --hash=".join([f"{parsed.name}{parsed.specifier}", *map(str.strip, hashes)]))
    return "\n".join([*kept, ""])
