"""Copying in bulk: in parts, in lots, and given up where the store is gone."""

from __future__ import annotations

import time
from typing import IO, Any

import pytest

from agent.copying import rclone
from agent.copying.progress import Progress
from agent.copying.transfer import Transfer
from agent.model.errors import CommandFailed
from agent.model.items import Entry
from agent.state.records import Owner

from .conftest import Machine


def test_files_that_go_in_parts_are_copied_after_the_others_and_few_at_once(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[list[str], str]] = []

    def follow(argv: list[str], owner: Owner, names: IO[str], *_: Any) -> None:
        calls.append((names.read().split(), argv[argv.index("--transfers") + 1]))
        if len(calls) == 1:
            raise CommandFailed(["rclone"], 1, "one file vanished")

    monkeypatch.setattr(rclone, "follow", follow)
    entries = [Entry(name, size, 0, 0, 0) for name, size in [("a", 1), ("b", 64 << 20), ("c", (64 << 20) - 1)]]
    progress = Progress(3, 128 << 20)
    with pytest.raises(CommandFailed, match="one file vanished"):
        Transfer(server.agent, server.said.append).upload(server.store, entries, Owner(0, 0), progress, "rclone")
    assert calls == [(["a", "c"], "32"), (["b"], "4")]
    assert progress.done == 3


class Store:
    """A store that answers as it is told."""

    def __init__(self, *answers: bool) -> None:
        self.left = list(answers)

    def answers(self) -> bool:
        return self.left.pop(0)


@pytest.mark.parametrize(
    ("answers", "given_up"),
    [((False,) * 6, True), (((False,) * 5 + (True,)) * 2, False), ((True,) * 9, False)],
)
def test_a_copy_is_given_up_only_when_nothing_gets_done_and_the_store_is_silent(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[bool, ...], given_up: bool
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    store = Store(*answers)
    watch = rclone._Watch(store)  # type: ignore[arg-type]
    now[0] = rclone.STUCK_SECONDS + 1
    assert not watch.in_vain(5), "files get done: nobody is asked"
    now[0] *= 2.5
    assert any(watch.in_vain(5) for _ in answers) == given_up
    assert store.left == []
