"""The journal and the settings on disk: what earlier agents wrote is read and goes on, what is newer is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agent.migration import recovery
from agent.model.errors import Problem
from agent.model.layout import Layout
from agent.model.phases import AFTER_CRASH, Owed, Phase, Side, Stage, Window
from agent.model.settings import of_any_format, parse, with_format
from agent.state.journal import Journal
from agent.state.run import Server, keep_settings, known_settings

from .conftest import Machine
from .fakes import SYNAPSE
from .moves import FILES, fill, go

EARLIER = Path(__file__).with_name("earlier")
#: Journals that the agent before the formats had numbers wrote, in every phase and stage; by what they say.
SAMPLES = {file.stem: json.loads(file.read_text()) for file in sorted((EARLIER / "journals").glob("*.json"))}


def laid(server: Machine, sample: dict[str, Any]) -> None:
    """The server as it is where a journal says so: its files, what is mounted, and the journal itself."""
    fill(server)
    inode = server.store.stat().st_ino
    step = sample["step"]
    moved = (
        sample["serving"] == "bucket"
        or step
        and (step["name"] != "cutover" or step["stage"] in ("swapping", "undoing"))
        and sample["serving"] != "local"
    )
    if sample["phase"] != "local":
        server.bucket.objects = dict(FILES)
    if moved:
        os.rename(server.store, server.backup)
        server.make_mount_point()
        server.system.mounts.add(server.store)
        server.system.active.add("matrix-media-store.service")
    if sample["phase"] == "clean":
        os.rename(server.backup, server.root / "gone")
    facts = {**sample["facts"], "uid": os.getuid(), "gid": os.getgid()}
    if "store_inode" in facts:
        facts["store_inode"] = inode
    server.layout.journal.write_text(json.dumps({**sample, "facts": facts}))


def test_there_is_a_sample_of_every_phase_and_of_every_stage() -> None:
    assert {sample["phase"] for sample in SAMPLES.values()} == set(Phase)
    found = {(sample["step"]["name"], sample["step"]["stage"]) for sample in SAMPLES.values() if sample["step"]}
    # That agent had no word of its own for a window that was given up, took over no mounts, and knew one store.
    later = (Window.ADOPT, Window.MOVE)
    assert found == {pair for pair in AFTER_CRASH if pair[1] is not Stage.UNDONE and pair[0] not in later}


@pytest.mark.parametrize("target", [Phase.LIVE, Phase.CLEAN, Phase.LOCAL])
@pytest.mark.parametrize("name", SAMPLES)
def test_a_journal_of_the_first_format_goes_on_forward_back_and_to_the_end(
    server: Machine, name: str, target: Phase
) -> None:
    laid(server, SAMPLES[name])
    server.system.active.discard(SYNAPSE)
    recovery.recover(server.run())
    assert server.journal.window is None and server.journal.serving in (Side.LOCAL, Side.BUCKET)
    server.system.active.add(SYNAPSE)
    assert go(server, target).settled(target)
    served = server.tree() if target is Phase.LOCAL else server.bucket.objects
    assert {path: served.get(path) for path in FILES} == FILES
    assert json.loads(server.layout.journal.read_text())["format"] == 3


@pytest.mark.parametrize("name", SAMPLES)
def test_what_a_journal_of_the_first_format_says_is_what_is_read(tmp_path: Path, name: str) -> None:
    sample, layout = SAMPLES[name], Layout(tmp_path)
    layout.journal.parent.mkdir(parents=True)
    layout.journal.write_text(json.dumps(sample))
    journal, facts = Journal.load(layout), sample["facts"]
    assert (journal.phase, journal.serving, journal.generation) == (
        sample["phase"], sample["serving"], sample["generation"],
    )  # fmt: skip
    assert journal.base == sample["base"] and journal.owner == (facts["uid"], facts["gid"])
    assert (journal.local_store and journal.local_store.inode) == facts.get(
        "store_inode"
    ) and journal.history == facts.get("runs", [])
    assert journal.installed.agent_sha256 == facts["agent_sha256"] and journal.installed.repairs == "mark"
    assert (Owed.WALK in journal.owed) == (not facts.get("verified", True))
    assert (Owed.REMOUNT in journal.owed) == facts.get("remount", False)
    assert (Owed.PROOF in journal.owed) == (sample["serving"] != "local" and not facts.get("proven", False))
    journal.save()
    again = Journal.load(layout)
    assert all(getattr(again, field) == getattr(journal, field) for field in ("phase", "serving", "owed", "history"))


@pytest.mark.parametrize("name", ["live-none-restore-delta", "live-none-remount-delta-remount"])
def test_a_proof_that_was_missing_before_a_window_is_missing_after_it_was_given_up(server: Machine, name: str) -> None:
    sample = json.loads(json.dumps(SAMPLES[name]))
    sample["facts"] |= {"proven": False, "verified": False}
    laid(server, sample)
    recovery.recover(server.run())
    assert server.journal.serving is Side.BUCKET and not server.journal.settled(Phase.LIVE)
    assert {Owed.PROOF, Owed.WALK} <= server.journal.owed
    assert go(server, Phase.LIVE).settled(Phase.LIVE)


def test_a_window_that_was_given_up_is_told_from_one_that_was_committed() -> None:
    """Both were called `starting`; who served told which."""
    given_up = {("cutover", "local"), ("restore", "bucket")}
    for name, sample in SAMPLES.items():
        if sample["step"] and sample["step"]["stage"] == "starting":
            layout = Layout(Path("/nowhere"))
            from agent.state import formats

            window = formats.read(layout.journal, sample)["window"]
            expected = Stage.UNDONE if (window.name, sample["serving"]) in given_up else Stage.STARTING
            assert window.stage is expected, name


def written(tmp_path: Path, **changes: Any) -> Layout:
    """A journal of this format, with some of it changed."""
    layout = Layout(tmp_path)
    Journal(layout).save()
    document = json.loads(layout.journal.read_text())
    layout.journal.write_text(json.dumps({**document, **changes}))
    return layout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 4}, "has format 4, and this version of the agent knows up to 3 -- run pulumi up with the version"),
        ({"phase": "paused"}, "says 'paused', which this version of the agent does not know"),
        ({"serving": "both"}, "says 'both'"),
        ({"owed": ["thanks"]}, "says 'thanks'"),
        ({"window": {"name": "swim", "stage": "delta", "units": []}}, "says 'swim'"),
        ({"window": {"name": "cutover", "stage": "flying", "units": []}}, "says 'flying'"),
        ({"window": {"name": "remount", "stage": "swapping", "units": []}}, "says 'remount:swapping'"),
        ({"serving": "none"}, "nobody serves, and no window is open"),
        ({"window": 7}, "is damaged"),
        ({"generation": "many"}, "is damaged"),
    ],
)
def test_what_this_agent_does_not_know_is_refused_by_name_and_left_as_it_is(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    layout = written(tmp_path, **changes)
    before = layout.journal.read_bytes()
    with pytest.raises(Problem, match=said.replace("'", ".")):
        Journal.load(layout)
    assert layout.journal.read_bytes() == before


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=8),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(some.sampled_from(sorted(SAMPLES)), some.data())
def test_a_journal_of_which_any_part_is_something_else_is_read_or_a_problem(name: str, data: some.DataObject) -> None:
    document: dict[str, Any] = json.loads(json.dumps(SAMPLES[name]))
    where = data.draw(some.sampled_from([document, document["facts"], document["step"] or document]))
    where[data.draw(some.sampled_from(sorted(where)))] = data.draw(JSON)
    from agent.state import formats

    try:
        fields = formats.read(Path("/journal.json"), document)
    except Problem as problem:
        assert problem.what and problem.fix
    else:
        window = fields["window"]
        assert fields["phase"] in Phase and (window is None or (window.name, window.stage) in AFTER_CRASH)


# Settings


def test_settings_of_the_first_format_are_read_under_their_users_names(tmp_path: Path) -> None:
    document = json.loads((EARLIER / "settings.json").read_text())
    settings = parse(of_any_format(document))
    copy, migration = settings.copy, settings.migration
    assert (copy.method, copy.transfers, copy.bandwidth, copy.exclude) == ("rsync", 7, "10M", ["url_cache"])
    assert (migration.deletion_limit_percent, migration.confirmed, migration.window_seconds) == (2.5, ["a"], 60)
    assert settings.host.access_token == "syt_token" and settings.host.stack == "prod"
    assert settings.store.secret_access_key == "SECRET" and settings.mount.goofys_sha256 == "0" * 64
    layout = Layout(tmp_path)
    layout.settings.parent.mkdir(parents=True)
    layout.settings.write_text(json.dumps(document))
    keep_settings(layout, {"copy": {"transfers": 8}})
    assert json.loads(layout.settings.read_text())["format"] == 2
    again = Server.load(layout).settings
    assert again.copy.transfers == 8 and again.copy.method == "rsync" and again.host.access_token == "syt_token"


def test_settings_of_a_newer_format_are_refused_by_name(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.settings.parent.mkdir(parents=True)
    layout.settings.write_text(json.dumps({**with_format({}), "format": 3}))
    with pytest.raises(Problem, match="settings on the server have format 3, .* up to 2"):
        known_settings(layout)


def test_the_states_of_a_window_are_words_that_stay() -> None:
    """They stand in journals on servers."""
    assert [str(word) for word in (*Phase, *Side, *Window, *Stage, *Owed)] == [
        "local", "prepare", "mirror", "live", "clean", "local", "bucket", "none", "cutover", "restore", "remount",
        "adopt", "move", "delta", "swapping", "undoing", "starting", "undone", "proof", "walk", "purges", "listing",
            "remount", "left",
    ]  # fmt: skip
