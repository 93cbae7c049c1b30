"""README's way to a first stack, typed word for word by a script that reads it there, for each kind of store."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import readme
from sandbox.world import ROOT

from .world import BACKUP, STORE, fresh_server, journal, mounted, on_disk, synapse_runs


@pytest.mark.parametrize("kind", [pytest.param("existing", marks=pytest.mark.nightly), "aws", "b2"])
def test_readmes_five_commands_lead_from_nothing_to_live(sandbox: None, tmp_path: Path, kind: str) -> None:
    fresh_server(thin=20)
    once, commands = readme.blocks((ROOT / "README.md").read_text())
    assert len(commands) == 5 and commands[0].startswith("media-store init")
    newcomer = readme.newcomer(tmp_path, kind)
    done = newcomer.types(newcomer.script())
    assert done.returncode == 0, done.stdout
    assert mounted(STORE) and on_disk(BACKUP).exists() and synapse_runs()
    assert journal()["phase"] == "live"
    twice = newcomer.types(once[1:2])
    assert twice.returncode and "cannot overwrite" in twice.stdout, "the passphrase is not made anew"
