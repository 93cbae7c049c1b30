"""The state machine's tables: closed, consistent with each other, and the only way through a window."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from agent.model.errors import Problem
from agent.model.layout import Layout
from agent.model.phases import (
    AFTER_CRASH,
    FIRST,
    NEXT,
    Owed,
    Phase,
    Side,
    Stage,
    Window,
    after_crash,
    forbids_mount,
    route,
)
from agent.state.journal import Journal
from agent.state.records import LocalStore, OpenWindow

PAIRS = list(itertools.product(Window, Stage))


@pytest.mark.parametrize(("window", "stage"), PAIRS)
def test_every_pair_of_window_and_stage_is_in_the_table_or_refused_by_name(window: Window, stage: Stage) -> None:
    if (window, stage) in NEXT:
        assert after_crash(window, stage).serves in (Side.LOCAL, Side.BUCKET)
    else:
        with pytest.raises(Problem, match=f"{window.value}:{stage.value}.* does not know -- run pulumi up with"):
            after_crash(window, stage)


def test_the_tables_speak_of_the_same_pairs_and_lead_only_to_such() -> None:
    assert AFTER_CRASH.keys() == NEXT.keys()
    for (window, _), following in NEXT.items():
        assert all((window, stage) in NEXT for stage in following)
    for (window, stage), outcome in AFTER_CRASH.items():
        end = AFTER_CRASH[window, outcome.then]
        assert (end.serves, end.phase, end.then) == (outcome.serves, outcome.phase, outcome.then), (window, stage)
        assert not end.brings_home, "what was brought home once is home"


def test_from_the_first_stage_every_stage_of_a_window_is_reached() -> None:
    for window in Window:
        reached, found = {FIRST}, [FIRST]
        while found:
            for stage in NEXT[window, found.pop()]:
                if stage not in reached:
                    reached.add(stage)
                    found.append(stage)
        assert reached == {stage for each, stage in NEXT if each is window}


def test_words_are_their_text_in_every_python() -> None:
    assert f"{Phase.LIVE} {Side.NOBODY}" == "live none" and str(Stage.DELTA) == "delta" and Phase("live") is Phase.LIVE


def test_no_mount_comes_up_over_what_is_local_or_comes_home() -> None:
    assert forbids_mount(Side.LOCAL, None) and not forbids_mount(Side.BUCKET, None)
    forbidden = {pair for pair in NEXT if forbids_mount(Side.NOBODY, pair)}
    assert forbidden == {pair for pair in NEXT if pair[0] is Window.RESTORE or pair[1] is Stage.UNDOING}


def test_the_route_between_phases_goes_through_their_neighbours() -> None:
    assert route(Phase.LOCAL, Phase.LIVE) == [("local", "prepare"), ("prepare", "mirror"), ("mirror", "live")]
    assert route(Phase.CLEAN, Phase.PREPARE) == [("clean", "live"), ("live", "mirror"), ("mirror", "prepare")]
    assert route(Phase.LIVE, Phase.LIVE) == []


# The journal lets nothing else happen


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(Layout(tmp_path), phase=Phase.MIRROR, local_store=LocalStore(1, 1, 0o750, 7))


def at(journal: Journal, window: Window, stage: Stage) -> Journal:
    """The same, in the middle of a window."""
    journal.window, journal.serving = OpenWindow(window, stage, ("x.service",)), Side.NOBODY
    return journal


@pytest.mark.parametrize(("window", "stage"), list(NEXT))
def test_only_a_stage_that_follows_is_entered(journal: Journal, window: Window, stage: Stage) -> None:
    for wanted in Stage:
        if wanted not in NEXT[window, stage]:
            with pytest.raises(Problem, match="refuses to enter"):
                at(journal, window, stage).advance(wanted)
    for wanted in NEXT[window, stage]:
        at(journal, window, stage).advance(wanted)
        written = Journal.load(journal.layout).window
        assert written and (written.name, written.stage, written.units) == (window, wanted, ("x.service",))


@pytest.mark.parametrize(("window", "stage"), list(NEXT))
def test_recovery_makes_true_what_the_table_says_from_every_stage(
    journal: Journal, window: Window, stage: Stage
) -> None:
    outcome = AFTER_CRASH[window, stage]
    at(journal, window, stage)
    if Stage.UNDOING in NEXT[window, stage]:
        journal.advance(Stage.UNDOING)
    journal.recover()
    written = Journal.load(journal.layout)
    assert (written.serving, written.phase) == (outcome.serves, outcome.phase or Phase.MIRROR)
    assert written.window and written.window.stage is outcome.then
    written.close()
    assert Journal.load(journal.layout).window is None


def test_a_window_opens_only_where_none_is_but_the_way_home_of_a_cutover_that_is_not_proven(journal: Journal) -> None:
    for window, (inside, stage) in itertools.product(Window, NEXT):
        at(journal, inside, stage)
        if (window, inside, stage) == (Window.RESTORE, Window.CUTOVER, Stage.STARTING):
            journal.open(window, ["x.service"])
        else:
            with pytest.raises(Problem, match=f"refuses to open {window.value}"):
                journal.open(window, [])


def test_a_side_is_committed_only_where_the_table_has_it(journal: Journal) -> None:
    for side, phase in itertools.product(Side, Phase):
        at(journal, Window.CUTOVER, Stage.SWAPPING)
        if (side, phase) == (Side.BUCKET, Phase.LIVE):
            journal.commit(side, phase, [Owed.PROOF])
            assert Journal.load(journal.layout).owed == {Owed.PROOF}
        else:
            with pytest.raises(Problem, match="refuses to commit"):
                journal.commit(side, phase, [])


def test_a_window_closes_only_once_its_services_were_told_to_start_and_no_phase_is_reached_in_one(
    journal: Journal,
) -> None:
    for window, stage in NEXT:
        at(journal, window, stage)
        with pytest.raises(Problem, match="refuses to reach"):
            journal.reach(Phase.CLEAN)
        if stage not in (Stage.STARTING, Stage.UNDONE):
            with pytest.raises(Problem, match="refuses to close"):
                journal.close()


def test_each_change_of_the_phase_raises_the_generation_once(journal: Journal) -> None:
    before = journal.generation
    journal.reach(Phase.MIRROR)
    assert journal.generation == before
    at(journal, Window.CUTOVER, Stage.SWAPPING).commit(Side.BUCKET, Phase.LIVE, [])
    journal.close()
    journal.reach(Phase.LIVE)
    assert journal.generation == before + 1


@pytest.mark.parametrize(("window", "stage"), list(NEXT))
def test_what_was_seen_of_an_interrupted_window_still_counts_once_it_is_recovered(
    journal: Journal, window: Window, stage: Stage
) -> None:
    """A window may be found open, be recovered by whoever comes first, and the run goes on as it was planned."""
    at(journal, window, stage)
    journal.phase = Phase.LIVE if window is Window.RESTORE else Phase.MIRROR
    seen, after = journal.expected(), f"{journal.expected().generation}.mark"
    assert journal.is_at(after)
    if Stage.UNDOING in NEXT[window, stage]:
        journal.advance(Stage.UNDOING)
    journal.recover()
    assert (journal.phase, journal.generation) == (seen.phase, seen.generation) and journal.is_at(after)
