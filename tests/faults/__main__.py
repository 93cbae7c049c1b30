"""`python -m tests.faults`: every case of the matrix; `--kills N`: N kills at random moments instead.

`--again` runs only what did not survive on this kind of server, or was not run there, in the last report, and puts the
new verdicts in their place.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from sandbox import relay
from sandbox.__main__ import OF_TESTS, build, up
from sandbox.server import kinds
from sandbox.world import PLACE

from .cases import CASES
from .kills import plan
from .runner import Verdict, run_case

REPORT = Path(__file__).with_name("report.json")


def earlier(path: Path) -> tuple[list[Verdict], float]:
    """The verdicts of the last report, and the seconds they took."""
    document = json.loads(path.read_text())
    for verdict in document["verdicts"]:
        del verdict["survived"]
    return [Verdict(**verdict) for verdict in document["verdicts"]], document["minutes"] * 60


def summary(verdicts: list[Verdict], seconds: float) -> dict[str, object]:
    """The report: totals, then each case."""
    return {
        "cases": len(verdicts),
        "survived": sum(verdict.survived for verdict in verdicts),
        "lost_files": sum(verdict.lost for verdict in verdicts),
        "changed_files": sum(verdict.changed for verdict in verdicts),
        "services_running": sum(verdict.services for verdict in verdicts),
        "acknowledged_uploads": sum(verdict.acknowledged for verdict in verdicts),
        "minutes": round(seconds / 60, 1),
        "verdicts": [verdict.document() for verdict in verdicts],
    }


def line(verdict: Verdict) -> str:
    """One case for the table."""
    word = "survived" if verdict.survived else "FAILED"
    return (
        f"{word:<8}  {verdict.seconds:>5.0f} s  lost {verdict.lost}, changed {verdict.changed} of "
        f"{verdict.acknowledged:>3} uploads and the rest  services {'run' if verdict.services else 'DOWN'}  "
        f"phase {verdict.phase:<8} {verdict.case} on {verdict.server}  -> {verdict.interrupted[:100]}; "
        f"then {verdict.then[:60]}" + (f"\n          {verdict.trouble}" if verdict.trouble else "")
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.faults", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name has these words")
    parser.add_argument("--again", action="store_true", help="what the last report lacks, or has failed")
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="kill everything at N random moments")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    arguments = parser.parse_args()
    build(OF_TESTS)  # cases ask for other kinds of servers than the one that is up
    up(fresh=True)  # an earlier one may wait for a bucket that is gone
    shutil.rmtree(PLACE / "faults-stack", ignore_errors=True)
    started = time.monotonic()
    path = REPORT.with_name("kills.json") if arguments.kills else REPORT
    cases = plan(arguments.kills, arguments.seed) if arguments.kills else CASES
    kept, before = earlier(path) if arguments.again else ([], 0.0)
    verdicts = [verdict for verdict in kept if verdict.survived]
    survived = {(verdict.case, verdict.server) for verdict in verdicts}
    kind = kinds.wanted().name
    report = summary(verdicts, before)
    with relay.Relay().running() as trouble:
        named = [case for case in cases if arguments.only in case.name]
        wanted = [case for case in named if (case.name, case.server or kind) not in survived]
        for number, verdict in enumerate((run_case(case, trouble) for case in wanted), 1):
            verdicts = [*(each for each in verdicts if each.case != verdict.case), verdict]
            print(f"{number:>3} of {len(wanted)} {line(verdict)}", flush=True)
            report = summary(verdicts, before + time.monotonic() - started)
            if not arguments.only:  # after each, so that an hour's work outlives an interruption
                path.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({name: value for name, value in report.items() if name != "verdicts"}), flush=True)
    return 0 if verdicts and report["survived"] == report["cases"] else 1


if __name__ == "__main__":
    sys.exit(main())
