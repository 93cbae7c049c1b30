"""The trial of the way to the bucket and back, in a folder whose owner may put anything into it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import pytest

from agent.copying import trial
from agent.model.errors import Problem

from .conftest import Machine


def _huge(path: Path, body: bytes) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def copies(server: Machine, lay: Callable[[Path, bytes], object]) -> Callable[..., str]:
    """The copying program, with `lay` for what comes back."""

    def run(
        argv: Sequence[str],
        timeout: float | None = None,
        check: bool = True,
        stdin: IO[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        assert stdin
        names = stdin.read().splitlines()
        folder = next(Path(each) for each in argv if each.startswith(f"{server.layout.var}/trial-"))
        for name in names:
            if folder.name == "back":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                lay(folder / name, server.bucket.objects[name])
            else:
                server.bucket.objects[name] = (folder / name).read_bytes()
        return ""

    return run


def tried(server: Machine, monkeypatch: pytest.MonkeyPatch, lay: Callable[[Path, bytes], object]) -> None:
    monkeypatch.setattr(server.system, "run", copies(server, lay))
    trial.try_copies(server.agent, server.journal.owner, server.said.append)


def test_what_comes_back_as_it_was_is_well_and_nothing_stays(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(server.bucket.objects)
    tried(server, monkeypatch, Path.write_bytes)
    assert "gives back and deletes" in server.said[-1]
    assert server.bucket.objects == before and not [*server.layout.var.glob("trial-*")]


@pytest.mark.parametrize(
    "lay",
    [
        lambda path, body: os.symlink("/dev/zero", path),
        lambda path, body: os.mkfifo(path),
        lambda path, body: path.write_bytes(body + b"more"),
        _huge,
        lambda path, body: os.mkdir(path),
        lambda path, body: None,
    ],
    ids=["endless", "waiting", "longer", "huge", "a folder", "missing"],
)
def test_what_the_owner_lays_in_the_place_of_what_comes_back_is_told_at_once(
    server: Machine, monkeypatch: pytest.MonkeyPatch, lay: Callable[[Path, bytes], object]
) -> None:
    with pytest.raises(Problem, match="reads back from bucket .* with other content than was written"):
        tried(server, monkeypatch, lay)
    assert not [*server.layout.var.glob("trial-*")]
