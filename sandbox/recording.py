"""`python -m sandbox.recording` types README's first stack in the sandbox, and draws what a terminal shows of it."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from . import readme, store
from .__main__ import up
from .world import ROOT, SERVER_ADDRESS

PICTURE = ROOT / "docs/first-stack.svg"
WIDTH = 132
#: Lines of a command's output that are drawn: those at its end say how it went.
LINES = 18
#: Seen beside the commands: what a phase would do, and what the server does.
_PLAN = "media-store plan --stack prod --phase live"
_WATCH = "media-store status --stack prod --watch"


def shown(command: str, output: str) -> list[str]:
    """What is drawn of a command's output: no empty lines, at most `LINES`, and nobody's real names. It is pure."""
    text = output.replace(SERVER_ADDRESS, "203.0.113.7").replace(store.ENDPOINT, "https://s3.example.com")
    text = re.sub(r"file://\S+", "file://~", text)
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith("View Live:")]
    if command.startswith("pulumi"):
        lines = [line for line in lines if not re.match(r"^\s*(@ (up|preview)dating|[+~ -]*  ?pulumi:providers)", line)]
    return lines if len(lines) <= LINES else ["…", *lines[-LINES:]]


def typed(newcomer: readme.Newcomer) -> Iterator[tuple[str, str]]:
    """Each command with its output; what differs in the sandbox only is typed and not told of."""
    once, commands = readme.blocks((ROOT / "README.md").read_text())
    exports = [line for line in once if line.startswith(("export", "source"))]
    quiet = [line for line in newcomer.script() if line.startswith("pulumi config set --path")]
    newcomer.must(newcomer.once(once))
    init, *rest = [command.partition("  #")[0].rstrip() for command in commands]
    yield init, newcomer.must([*exports, init])
    newcomer.must([*exports, *quiet])
    for command in rest:
        if "phase live" in command:
            yield _PLAN, newcomer.must([*exports, _PLAN])
            # Somebody presses Ctrl-C once it was shown.
            yield _WATCH, newcomer.must([*exports, f"timeout --signal=INT 4 {_WATCH} || true"])
        yield command, newcomer.must([*exports, command])


def draw(told: Sequence[tuple[str, str]]) -> str:
    """The commands and what is drawn of their output, as SVG."""
    with open("/dev/null", "w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True, color_system="truecolor")
        for command, output in told:
            console.print(Text(f"$ {command}", style="bold green"))
            for line in shown(command, output):
                console.print(Text(line))
            console.print()
        drawn = console.export_svg(title="from a playbook's vars.yml to live")
    return re.sub(r"@font-face \{.*?\}\n", "", drawn, flags=re.DOTALL)  # they would be fetched from elsewhere


def main() -> int:
    up(fresh=True)
    with tempfile.TemporaryDirectory() as folder:
        PICTURE.write_text(draw([*typed(readme.newcomer(Path(folder), "existing"))]))
    print(PICTURE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
