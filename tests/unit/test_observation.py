"""What a preview tells of the server, and what it refuses before any resource is declared."""

from __future__ import annotations

import pytest

from agent.model.fingerprint import fingerprint
from agent.model.protocol import Plan, StoreSeen
from agent.model.protocol import Status as Seen
from components.host import observation, zipapp
from components.host.last_known import STRICT, is_strict
from components.host.observation import Observation, plan_lines
from components.settings import parse
from operations import status

from .test_settings import GOOD

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
USED: StoreSeen = {
    "name": "",
    "prefix": "",
    "bucket": "media",
    "endpoint": "https://s3.eu-central-1.amazonaws.com",
    "region": "eu-central-1",
    "customer_key": "",
}
KEYS = {"accessKeyId": "id", "secretAccessKey": "key"}
AT_AWS = {"kind": "aws", "prefix": "", "bucket": "media", "region": "eu-central-1"}


def test_in_ci_a_preview_that_cannot_reach_the_server_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Review, entry 48."""
    for name in STRICT:
        monkeypatch.delenv(name, raising=False)
    assert not is_strict()
    for value, strict in (("true", True), ("1", True), ("false", False), ("", False)):
        monkeypatch.setenv("CI", value)
        assert is_strict() == strict


def never_laid(phase: str = "local") -> Seen:
    """What is seen of a server on which nothing of this stack is."""
    return {
        "stack": "", "version": "", "phase": phase, "serving": "local", "generation": 0, "base": "0", "settled": True,
        "mounted": False, "mounted_by": "", "running": None, "services": {}, "local_copy": None, "drift": [],
        "store": {"name": "", "bucket": "", "prefix": "", "endpoint": "", "region": "", "customer_key": ""},
        "checked": None, "homeserver_answers": False, "homeserver_trouble": "status 502 Bad Gateway", "trouble": "",
    }  # fmt: skip


def test_a_stack_that_was_never_up_or_was_destroyed_has_no_drift() -> None:
    """Review, entry 56."""
    settings = parse({**GOOD, "phase": "mirror"})
    assert status.compare(settings, never_laid(), status.Applied()) == []
    shown = status.lines(status.Status("prod", "matrix.example.com", "mirror", never_laid()))
    assert shown[-1] == "  nothing of this stack is on the server yet: run `pulumi up` to begin"


def test_a_homeserver_that_does_not_answer_is_told_with_its_own_answer() -> None:
    seen: Seen = {**never_laid("mirror"), "version": zipapp.version()}
    told = status.compare(parse({**GOOD, "phase": "mirror"}), seen, status.Applied("mirror"))
    assert any("asked from the server: status 502 Bad Gateway -- " in line for line in told)


@pytest.mark.parametrize(
    ("applied", "drifts", "waits"),
    [("mirror", [], ["phase live"]), ("live", ["phase live"], []), ("", ["phase live"], [])],
    ids=["the file is ahead", "the server went back", "no update is known"],
)
def test_what_an_update_will_change_is_no_drift_and_what_nobody_updated_is(
    applied: str, drifts: list[str], waits: list[str]
) -> None:
    settings = parse({**GOOD, "phase": "live"})
    seen: Seen = {**never_laid("mirror"), "version": zipapp.version(), "homeserver_answers": True}
    found = status.compare(settings, seen, status.Applied(applied))
    to_come = status.waiting(settings, seen, status.Applied(applied))
    for lines, expected in ((found, drifts), (to_come, waits)):
        assert len(lines) == len(expected) and all(word in line for word, line in zip(expected, lines, strict=True))


def test_a_run_that_is_under_way_and_an_older_agent_wait_and_drift_nothing() -> None:
    settings, applied = parse({**GOOD, "phase": "mirror"}), status.Applied("mirror")
    seen: Seen = {
        **never_laid("mirror"),
        "version": "0123456789ab",
        "homeserver_answers": True,
        "drift": ["x is missing"],
    }
    assert status.compare(settings, seen, applied) == []
    older, laid_since = status.waiting(settings, seen, applied)
    assert "the agent on the server is 0123456789ab" in older and laid_since == "x is missing -- run pulumi up"
    seen["version"] = zipapp.version()
    assert status.compare(settings, seen, applied) == ["x is missing -- run pulumi up"]
    assert status.waiting(settings, seen, applied) == []
    seen["running"] = {"id": "1", "target": "mirror", "after": "1"}
    seen["settled"] = False
    seen["homeserver_answers"] = False  # the run may have stopped it
    assert status.compare(settings, seen, applied) == []
    (line,) = status.waiting(settings, seen, applied)
    assert line.startswith("a run to mirror is under way")
    seen["running"] = {"id": "1", "target": "local", "after": "1"}
    seen["services"] = {"matrix-synapse.service": "failed"}
    foreign, failed = status.compare(settings, seen, applied)
    assert "a run to local is under way, which the stack does not say" in foreign and "synapse.service failed" in failed


def test_a_server_on_which_nothing_is_any_more_is_drift_and_one_that_was_destroyed_is_not() -> None:
    settings = parse({**GOOD, "phase": "live"})
    (line,) = status.compare(settings, never_laid(), status.Applied("live", "media", "https://s3.example.com"))
    assert "the last update left it in live -- is it another server?" in line
    assert status.compare(settings, never_laid(), status.Applied()) == []


def test_media_that_lie_in_another_bucket_of_that_name_than_the_last_update_left_are_drift() -> None:
    settings = parse({**GOOD, "phase": "live"})
    seen: Seen = {**never_laid("live"), "version": zipapp.version(), "homeserver_answers": True, "serving": "bucket"}
    there = "https://elsewhere.example.com"
    seen["store"] = {**seen["store"], "name": "other", "bucket": "media", "endpoint": there}
    for endpoint, drifts in ((there, 0), ("https://s3.example.com", 1)):
        applied = status.Applied("live", "media", endpoint)
        assert len(status.compare(settings, seen, applied)) == drifts
        assert len(status.waiting(settings, seen, applied)) == 1 - drifts


def test_the_plan_says_what_runs_how_much_and_what_is_in_the_way() -> None:
    plan: Plan = {
        "steps": ["mirror -> live: stop matrix-synapse.service"], "files": 1200, "bytes": 3_000_000,
        "copy_files": 10, "copy_bytes": 1_000_000, "seconds": 2, "free_bytes": 5_000_000, "disk": "/matrix",
    }  # fmt: skip
    text = "\n".join(plan_lines(Observation("mirror", 2, "1", plan=plan), "live"))
    for words in ("phase mirror", "1. mirror -> live", "1,200 files, 3.0 MB", "10 files, 1.0 MB", "about 2 s"):
        assert words in text
    assert plan_lines(Observation("live", 2, "1"), "live") == []
    assert "under way" in plan_lines(Observation("mirror", 2, "1", running="live"), "prepare")[0]
    assert "free at /matrix: 5 MB" in text and "local store" in text
    live = "\n".join(plan_lines(Observation("live", 2, "1", plan=plan), "clean"))
    assert "local copy: 1,200 files" in live and "clean frees 3.0 MB there" in live and "local store" not in live
    problem = plan_lines(Observation("mirror", 2, "1", plan={"steps": ["x"], "problems": ["a link"]}), "live")
    assert problem[-1].endswith("but: a link")
    assert plan_lines(Observation("live", 2, "1", plan={"problems": ["no key"]}), "live") == ["  but: no key"]


def check_store(phase: str, used: StoreSeen, store: dict[str, str]) -> str:
    """What is said of a stack with this store, while the server is in that phase with the store it was told of."""
    settings = parse({**GOOD, "store": store})
    observed = observation.Observation(phase=phase, generation=1, base="0", store=used)
    try:
        observed.check_store(settings.store, settings.customer_key)
    except observation.WrongStore as error:
        return str(error)
    return ""


@pytest.mark.parametrize("phase", ["mirror", "live", "clean"])
def test_another_store_or_customer_key_is_refused_before_any_resource_while_the_media_rely_on_it(phase: str) -> None:
    assert check_store(phase, USED, AT_AWS) == ""
    assert "store.bucket changed from media to other" in check_store(phase, USED, {**AT_AWS, "bucket": "other"})
    elsewhere = {**AT_AWS, "endpoint": "https://s3.dualstack.eu-central-1.amazonaws.com"}
    moved = check_store(phase, USED, elsewhere)
    assert "store.endpoint changed" in moved and "phase to prepare" in moved
    keyed = check_store(phase, USED, {**AT_AWS, "sseCustomerKey": KEY})
    assert "store.sseCustomerKey changed" in keyed and KEY not in keyed
    with_key: StoreSeen = {**USED, "customer_key": fingerprint(KEY)}
    assert check_store(phase, with_key, {**AT_AWS, "sseCustomerKey": KEY}) == ""
    assert "store.sseCustomerKey changed" in check_store(phase, with_key, AT_AWS)


@pytest.mark.parametrize("phase", ["prepare", "mirror", "live", "clean"])
@pytest.mark.parametrize("endpoint", ["", "https://s3.example.com"], ids=["the region's own", "an endpoint of its own"])
def test_another_region_is_refused_before_any_resource_in_every_phase(phase: str, endpoint: str) -> None:
    """Review, entry 39: the bucket's settings were deleted while the server was live on it."""
    used: StoreSeen = {**USED, "endpoint": endpoint} if endpoint else USED
    store = {**AT_AWS, **({"endpoint": endpoint} if endpoint else {})}
    assert check_store(phase, used, store) == ""
    told = check_store(phase, used, {**store, "region": "eu-west-1"})
    assert (
        "aws:region changed from eu-central-1 to eu-west-1, and bucket media stays" in told
        and " -- set it back" in told
    )
    assert check_store("local", used, {**store, "region": "eu-west-1"}) == ""
    existing = {"prefix": "", "bucket": "media", "endpoint": "https://s3.example.com", "region": "eu-x", **KEYS}
    known: StoreSeen = {**USED, "endpoint": "https://s3.example.com"}
    told = check_store(phase, known, existing)
    assert ("store.region changed from eu-central-1 to eu-x" in told) == (phase != "prepare")


def test_another_bucket_in_another_region_is_no_change_of_the_one_that_is_there() -> None:
    other = {**AT_AWS, "prefix": "", "bucket": "other", "region": "eu-west-1"}
    assert check_store("prepare", USED, other) == ""
    assert "store.bucket changed from media to other" in check_store("live", USED, other)


def test_in_prepare_the_store_may_change_unless_the_old_bucket_would_be_deleted_uncompared() -> None:
    other = {**AT_AWS, "bucket": "other"}
    assert check_store("prepare", USED, other) == "" and check_store("local", {**USED, "bucket": ""}, other) == ""
    assert "store.onDestroy to retain" in check_store("prepare", USED, {**other, "onDestroy": "delete"})
    assert check_store("prepare", USED, {**AT_AWS, "sseCustomerKey": KEY}) == ""


def test_a_second_stack_on_the_same_server_is_refused_unless_it_takes_over_or_nothing_holds_there() -> None:
    held = Observation("live", 3, "2", stack="prod")
    held.check_stack("prod", adopt=False)
    held.check_stack("other", adopt=True)
    Observation("local", 3, "2", stack="prod").check_stack("other", adopt=False)
    with pytest.raises(observation.WrongStack, match="another stack, prod, holds this server in phase live"):
        held.check_stack("other", adopt=False)
