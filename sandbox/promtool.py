"""Prometheus' own checker of metrics and rules: its program alone, out of Debian's package."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from .world import BIN, run, tell

PROGRAM = BIN / "promtool"


def build() -> None:
    """Once; raises what `run` does where the package cannot be had."""
    if PROGRAM.exists():
        return
    tell("fetching promtool for the sandbox ...")
    with tempfile.TemporaryDirectory() as place:
        run("apt-get", "download", "--quiet", "-o", "APT::Sandbox::User=root", "prometheus", cwd=place)
        (package,) = Path(place).glob("prometheus_*.deb")
        run("dpkg-deb", "--extract", package, f"{place}/tree")
        BIN.mkdir(parents=True, exist_ok=True)
        shutil.move(f"{place}/tree/usr/bin/promtool", PROGRAM)


def check(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """What it says of metrics on standard input, or of files of rules."""
    build()
    return subprocess.run([PROGRAM, *arguments], input=stdin, capture_output=True, text=True)
