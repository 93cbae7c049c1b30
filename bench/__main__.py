"""`python -m bench`: measure, keep the figures in bench/results.json, and write docs/performance.md of them."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from pathlib import Path
from typing import Any

from sandbox import parts
from sandbox.__main__ import up

from .experiments import EXPERIMENTS
from .report import render

RESULTS = Path(__file__).with_name("results.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("experiments", nargs="*", metavar="experiment", help=f"which: {', '.join(EXPERIMENTS)}")
    parser.add_argument("--repetitions", type=int, default=3, help="of each measurement; the median counts")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page anew")
    arguments = parser.parse_args()
    if unknown := set(arguments.experiments) - set(EXPERIMENTS):
        parser.error(f"no such experiment: {', '.join(sorted(unknown))}; there are {', '.join(EXPERIMENTS)}")
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not arguments.report:
        up(fresh=True)
        parts.build("s5cmd")
        results["machine"] = {"cpus": os.cpu_count(), "date": datetime.date.today().isoformat()}
        for name in arguments.experiments or EXPERIMENTS:
            results[name] = []
            for measure in EXPERIMENTS[name]:
                results[name].append(measure(arguments.repetitions))
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    render(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
