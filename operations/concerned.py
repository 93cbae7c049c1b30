"""`python3 -m operations.concerned [COMMIT]` prints the stacks under stacks/ as JSON.

With a commit, it prints those that the changes since then concern. It needs git, and nothing installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: What every stack is made of: files, and folders with a slash.
PROGRAM = ("__main__.py", "Pulumi.yaml", "requirements.txt", "agent/", "components/", "sdks/")


def stacks(files: Iterable[Path]) -> dict[str, str]:
    """Return the stacks' names by the path of their file; examples are no stacks. It is pure."""
    names = {f"stacks/{file.name}": file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in files}
    return {path: name for path, name in sorted(names.items()) if not name.startswith("example-")}


def concerned(known: dict[str, str], changed: Sequence[str]) -> list[str]:
    """Return all stacks where the program changed, else those whose own file did. It is pure."""
    if any(path.startswith(PROGRAM) for path in changed):
        return list(known.values())
    return [name for path, name in known.items() if path in changed]


def main() -> int:
    """Print the stacks, and return the exit status: 0, or 2 where git failed and has said why."""
    known = stacks(ROOT.glob("stacks/Pulumi.*.yaml"))
    chosen = list(known.values())
    if len(sys.argv) > 1:
        done = subprocess.run(
            ["git", "diff", "--name-only", f"{sys.argv[1]}...HEAD", "--"], cwd=ROOT, text=True, stdout=subprocess.PIPE
        )
        if done.returncode:
            return 2  # git has said why
        chosen = concerned(known, done.stdout.splitlines())
    print(json.dumps(chosen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
