"""A dozen of the matrix, for every run of the tests; `make faults` runs it all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from agent.migration.edges import ADOPT, EDGES
from agent.model.phases import NEXT, Stage
from sandbox import relay
from sandbox.world import PLACE

from .case import Case
from .cases import CASES
from .kills import IN_EACH, STEPS, plan
from .runner import run_case


@pytest.fixture(scope="module")
def trouble(sandbox: None) -> Iterator[relay.Relay]:
    shutil.rmtree(PLACE / "faults-stack", ignore_errors=True)
    with relay.Relay().running() as running:
        yield running


@pytest.mark.parametrize("case", [case for case in CASES if case.chosen], ids=lambda case: case.name)
def test_nothing_is_lost_services_run_and_the_next_up_completes(trouble: relay.Relay, case: Case) -> None:
    verdict = run_case(case, trouble)
    assert verdict.survived, verdict
    assert verdict.acknowledged > 10, "somebody uploaded all the time"


def test_the_matrix_has_every_step_and_each_case_once() -> None:
    assert len(CASES) >= 60 and len({case.name for case in CASES}) == len(CASES)
    assert sum(case.chosen for case in CASES) == 7


def test_the_agent_is_killed_before_each_transition_and_in_each_stage_of_each_window() -> None:
    struck = {case.at for case in CASES if case.fault == "agent killed"}
    assert {f"before {edge.begins} -> {edge.ends}" for edge in (*EDGES, ADOPT)} <= struck
    # Recovery alone enters the others.
    stages = {f"{window}, {stage}" for window, stage in NEXT if stage not in (Stage.UNDOING, Stage.UNDONE)}
    assert stages <= struck


def test_random_kills_hit_each_step_of_the_journal_and_are_the_same_for_a_seed() -> None:
    cases = plan(50, seed=1)
    assert [case.name for case in cases] == [case.name for case in plan(50, seed=1)]
    for _, _, at, _ in STEPS:
        assert sum(case.at == at for case in cases) >= IN_EACH > 3
