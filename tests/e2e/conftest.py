"""The sandbox runs for all tests here; one that cannot run fails."""

from __future__ import annotations

import fcntl
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from sandbox.__main__ import down, up
from sandbox.world import HOME, WORLD, enter

from . import world


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test marked `alone`, which measures time, while no other world runs one. It sees all tests, faults too."""
    HOME.mkdir(exist_ok=True)
    with (HOME / "next").open("w") as following, (HOME / "turn").open("w") as turn:
        fcntl.flock(following, fcntl.LOCK_EX)  # who waits to be alone holds off those that come later
        fcntl.flock(turn, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(following, fcntl.LOCK_UN)
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def sandbox() -> Iterator[None]:
    if WORLD:
        down()  # what a run that was broken off left runs in a network that is no more
        enter()
    up(fresh=True)  # an earlier one may wait for a bucket that is gone
    yield
    if WORLD:
        down()


@pytest.fixture
def begin() -> Iterator[world.Begin]:
    """Makes a migration; its stack is forgotten afterwards."""
    made: list[world.Migration] = []

    def make(name: str, *kind: Any, **options: Any) -> world.Migration:
        made.append(world.begin(name, *kind, **options))
        return made[-1]

    yield make
    for migration in made:
        migration.stack.remove()


@pytest.fixture(scope="module")
def live() -> Iterator[world.Migration]:
    """A live migration that tests may look at, not change."""
    migration = world.begin("live")
    migration.up("live")
    yield migration
    migration.stack.remove()
