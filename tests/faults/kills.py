"""Everything is killed at random moments of prepare -> live -> prepare, at least three in each journal step."""

from __future__ import annotations

import random
import time

from ..e2e.world import stage
from . import injectors
from .case import Case
from .scene import Scene

#: Steps of the journal, each to be hit; then a wait from its begin, in seconds, at random up to this.
STEPS = [
    ("prepare", "live", "cutover, delta", 0.12),
    ("prepare", "live", "cutover, swapping", 0.2),
    ("prepare", "live", "cutover, starting", 0.6),
    ("live", "prepare", "restore, delta", 0.4),
    ("live", "prepare", "restore, swapping", 0.2),
    ("live", "prepare", "restore, starting", 0.6),
]
#: Kills aimed at each step. It may end before a wait does, so more than the three that must hit; the others
#: fall anywhere between begin and end of the update.
IN_EACH = 5
#: Seconds an update takes, as measured; kills anywhere fall within it.
UPDATE = {"live": 7.5, "prepare": 7.0}


def _after(seconds: float) -> injectors.Injector:
    def inject(scene: Scene) -> None:
        time.sleep(seconds)  # a random moment is what is tested
        scene.step = stage()
        injectors.power_lost(scene)

    return inject


def _kill(number: int, wait: float, start: str, target: str, at: str) -> Case:
    return Case(f"kill {number}: all killed {wait:.2f} s after the begin", _after(wait), start, target, at)


def plan(count: int, seed: int) -> list[Case]:
    """The moments. Pure."""
    chance = random.Random(seed)
    cases: list[Case] = []
    for start, target, at, longest in STEPS * IN_EACH:
        wait = chance.uniform(0, longest)
        cases.append(_kill(len(cases) + 1, wait, start, target, at))
    while len(cases) < count:
        start, target = chance.choice([("prepare", "live"), ("live", "prepare")])
        wait = chance.uniform(0, UPDATE[target])
        cases.append(_kill(len(cases) + 1, wait, start, target, "engine begins"))
    return cases[:count]
