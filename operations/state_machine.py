"""This module makes the table and the drawing of the state machine in docs/architecture.md from the agent's own tables.

`python -m operations.state_machine` writes them.
"""

from __future__ import annotations

import re

from agent.model.phases import AFTER_CRASH, FIRST, FOLLOWS, NEXT, OPENS_IN, Phase, Side, Stage, Window

from .workspace import ROOT

PAGE = ROOT / "docs" / "architecture.md"
#: How a part of the page that is made here begins and ends.
BEGIN, END = "<!-- {name}: made by python -m operations.state_machine -->", "<!-- end of {name} -->"

_SERVES = {Side.LOCAL: "the local store", Side.BUCKET: "the bucket"}


def table() -> str:
    """Return the table of what holds after a crash, a row for each window and stage. It is pure."""
    rows = [
        "| the journal says | who serves | the local copy comes home first | phase |",
        "| --- | --- | --- | --- |",
    ]
    for (window, stage), outcome in AFTER_CRASH.items():
        home, phase = "yes" if outcome.brings_home else "no", outcome.phase or "as before"
        serves = "the earlier mount" if phase is Phase.LOCAL else _SERVES[outcome.serves]
        if window is Window.MOVE:
            serves = "the bucket that is gone to" if stage is Stage.STARTING else "the bucket that is left"
        rows.append(f"| `{window}:{stage}` | {serves} | {home} | {phase} |")
    return "\n".join(rows)


def drawing() -> str:
    """Return the phases, and within each window its stages, as Mermaid draws them. It is pure.

    A dotted way is recovery's: https://mermaid.js.org/syntax/flowchart.html
    """
    lines = ["```mermaid", "flowchart LR"]
    order = list(Phase)
    for one, other in zip(order, order[1:], strict=False):
        lines.append(f"  {one} <--> {other}")
    for window in Window:
        lines.append(f"  subgraph {window}")
        for (name, stage), following in NEXT.items():
            if name is window:
                if not following:
                    ends_in = AFTER_CRASH[window, stage].phase or f"{Phase.LIVE} & {Phase.CLEAN}"
                    lines.append(f"    {_node(window, stage)} --> {ends_in}")
                for then in following:
                    arrow = "-.->" if then in (Stage.UNDOING, Stage.UNDONE) else "-->"
                    lines.append(f"    {_node(window, stage)} {arrow} {_node(window, then)}")
        lines.append("  end")
        lines.append(f"  {OPENS_IN[window] or f'{Phase.LIVE} & {Phase.CLEAN}'} --> {window}_{FIRST}")
    for window, (name, stage) in FOLLOWS.items():
        lines.append(f"  {name}_{stage} -. the proof fails .-> {window}_{FIRST}")
    return "\n".join([*lines, "```"])


def _node(window: Window, stage: Stage) -> str:
    return f"{window}_{stage}[{stage}]"


PARTS = {"table": table, "drawing": drawing}


def filled(page: str) -> str:
    """Return the page with its parts made anew. It is pure."""
    for name, make in PARTS.items():
        begin, end = BEGIN.format(name=name), END.format(name=name)
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        assert pattern.search(page), f"the page has no place for the {name}"
        before, after = pattern.split(page, maxsplit=1)
        page = f"{before}{begin}\n{make()}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
