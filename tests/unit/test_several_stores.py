"""A stack with several stores: which one serves, what a move is allowed from, and what the stack is made of then."""

from __future__ import annotations

import copy
import json
import shlex
from typing import Any

import pytest

from agent.model.protocol import StoreSeen
from components import settings as stack_settings
from components.host.connection import Connection
from components.host.media_server import MediaServer
from components.host.observation import Observation, StartFrom, WrongStore, move_lines
from components.host.sections import api_token, sections
from components.outputs import latest, next_step
from components.settings import ConfigurationError, Settings, customer_key_of, is_secret, parse, read
from components.store import make_stores

from .recording import Request, record
from .test_settings import GOOD

AWS = {"kind": "aws", "bucket": "media-at-aws", "region": "eu-central-1"}
AWS_TOO = {"kind": "aws", "bucket": "media-too", "region": "eu-central-1", "onDestroy": "delete"}
OTHER = {**GOOD["store"], "bucket": "other"}


def stack(serve: str = "", store: bool = True, **stores: Any) -> dict[str, Any]:
    values = copy.deepcopy(GOOD) | {"stores": stores, **({"serve": serve} if serve else {})}
    return values if store else {name: value for name, value in values.items() if name != "store"}


def told(values: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse(values)
    return str(caught.value)


def test_without_a_word_the_store_that_needs_no_name_serves_or_the_only_one_there_is() -> None:
    assert parse(GOOD).store_name == "" and parse(GOOD).store.bucket == "media"
    assert parse(stack(other=OTHER)).store.bucket == "media"
    only = parse(stack(store=False, other=OTHER))
    assert (only.store_name, only.store.bucket) == ("other", "other")
    assert parse(stack("other", other=OTHER)).store.bucket == "other"
    assert parse(stack("store", other=OTHER)).store.bucket == "media"


def test_what_is_wrong_with_several_stores_is_told_by_the_settings_name_with_its_remedy() -> None:
    assert "store: is missing -- see the examples" in told(stack(store=False))
    assert "serve: is third, and the stack has store, other -- name one" in told(stack("third", other=OTHER))
    both = told(stack(store=False, one=OTHER, two=AWS))
    assert "serve: is missing, and the stack has the stores one, two -- name one" in both
    assert "stores.one.bucket: is not a valid bucket name -- give" in told(stack(one={**OTHER, "bucket": "No"}))
    assert "stores.one.colour: is not a setting -- use one of kind" in told(stack(one={**OTHER, "colour": "red"}))
    assert "stores.one.kind: is not existing, aws or b2" in told(stack(one={"kind": "tape"}))
    named = copy.deepcopy(GOOD) | {"stores": {"Frankfurt": OTHER}}
    assert "is not a name of up to 31 small letters" in told(named)
    plain = {
        **OTHER,
        "endpoint": "http://s3.example.com",
        "sseCustomerKey": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    }
    assert "stores.one.sseCustomerKey: would travel in plain text" in told(stack(one=plain))


def test_a_secret_of_a_store_with_a_name_must_not_lie_in_plain_text_and_is_never_shown() -> None:
    values = {f"p:{name}": json.dumps(value) for name, value in stack(other=OTHER).items()} | {"p:phase": "prepare"}
    with pytest.raises(ConfigurationError) as caught:
        read("p", values, {"p:server", "p:store", "p:host"})
    assert "stores.other.secretAccessKey: lies in plain text" in str(caught.value)
    assert read("p", values, {"p:server", "p:store", "p:host", "p:stores"}).all_stores.keys() == {"", "other"}
    assert is_secret("stores.other.secretAccessKey") and not is_secret("stores.other.bucket") and not is_secret("serve")


def test_the_providers_own_region_is_every_aws_stores() -> None:
    values = stack("there", there={"kind": "aws", "bucket": "media-at-aws"})
    config = {f"p:{name}": json.dumps(value) for name, value in values.items() if name != "serve"}
    config |= {"p:serve": "there", "aws:region": "eu-west-1"}
    settings = read("p", config, {"p:server", "p:store", "p:host"})
    assert settings.store.endpoint_used == "https://s3.eu-west-1.amazonaws.com"  # type: ignore[union-attr]


def seen(phase: str, name: str = "") -> Observation:
    store: StoreSeen = {
        "name": name, "bucket": "media", "prefix": "", "endpoint": "https://s3.example.com", "region": "eu-central-1",
        "customer_key": "",
    }  # fmt: skip
    return Observation(phase, 3, "2", store=store)


def allowed(observed: Observation, settings: Settings) -> str:
    try:
        observed.check_names(settings.store_name, settings.all_stores)
        for name, store in settings.all_stores.items():
            observed.check_store(store, customer_key_of(store), name)
    except WrongStore as error:
        return str(error)
    return ""


@pytest.mark.parametrize("phase", ["live", "clean"])
def test_another_store_of_the_stack_may_serve_once_the_bucket_does_and_the_preview_says_so(phase: str) -> None:
    settings = parse(stack("other", other=OTHER))
    assert allowed(seen(phase), settings) == ""
    (line,) = move_lines(seen(phase), settings)
    assert "the media move from bucket media at https://s3.example.com to bucket other" in line
    assert move_lines(seen(phase, "other"), settings) == [] and move_lines(seen("mirror"), settings) == []


def test_no_move_begins_in_mirror_nor_from_a_store_that_the_stack_has_no_more() -> None:
    assert "serve changed in phase mirror" in allowed(seen("mirror"), parse(stack("other", other=OTHER)))
    gone = allowed(seen("live", "earlier"), parse(stack("other", other=OTHER)))
    assert "the media lie in the store stores.earlier, which the stack has no more -- put it back" in gone
    renamed = parse(stack(store=False, main=GOOD["store"]))
    assert "the media lie in the store store, which the stack has no more" in allowed(seen("clean"), renamed)
    assert allowed(seen("prepare", "earlier"), parse(stack("other", other=OTHER))) == ""


def test_the_store_that_still_serves_must_not_change_in_the_update_that_moves_the_media() -> None:
    edited = stack("other", other=OTHER)
    edited["store"]["bucket"] = "elsewhere"
    assert "store.bucket changed from media to elsewhere" in allowed(seen("live"), parse(edited))


def test_another_bucket_under_the_same_name_is_refused_as_ever() -> None:
    moved = parse(stack("other", other={**OTHER, "bucket": "elsewhere"}))
    assert "stores.other.bucket changed from media to elsewhere" in allowed(seen("live", "other"), moved)


@pytest.mark.parametrize("phase", ["live", "clean"])
def test_the_next_step_says_where_the_media_are_and_what_can_be_taken_out(phase: str) -> None:
    said = next_step(phase, parse(stack("other", other=OTHER)))
    assert "the media are in the store other: take store out of the stack" in said
    assert "pulumi config set serve store" in said and "serve" not in next_step(phase, parse(GOOD))


def test_the_last_of_a_run_and_a_move_is_what_the_outputs_and_the_page_are_of() -> None:
    run, move = {"phase": "live", "runs": [{"began": 10}]}, {"phase": "live", "runs": [{"began": 10}, {"began": 20}]}
    assert latest(run, move) is move and latest(run, {}) is run and latest({}, {}) == {}
    later = {"phase": "mirror", "runs": [{"began": 20}, {"began": 30}]}
    assert latest(later, move) is later


def built(values: dict[str, Any]) -> dict[str, Request]:
    def run() -> Any:
        settings = stack_settings.parse(values)
        stores = make_stores("matrix", settings)
        store = stores[settings.store_name]
        server = MediaServer(
            "matrix",
            connection=Connection.of(settings.server),
            store=store,
            stores=stores,
            sections=sections(settings, store, "test"),
            token=api_token(settings),
            phase=settings.phase,
            start=StartFrom("1", "mark"),
        )
        return server.verdict

    return record(run)[0]


def depends_on(request: Request) -> set[str]:
    return {urn.rpartition("::")[2] for urn in request.dependencies}


def test_a_stores_resources_keep_their_names_whichever_serves() -> None:
    for serve in ("store", "there"):
        requests = built(stack(serve, there=AWS))
        assert {"matrix-bucket (store)", "matrix-there-bucket (store)", "matrix-there-bucket"} <= requests.keys()
        for name in ("matrix-agent", "matrix-mount", "matrix-media-store"):
            assert {"matrix-there-bucket", "matrix-there-bucket-key-1"} <= depends_on(requests[name]), (serve, name)


def test_a_store_that_does_not_serve_is_let_go_before_its_bucket_and_the_one_that_serves_never() -> None:
    requests = built(stack("there", there=AWS, too=AWS_TOO))
    kept = {"matrix-kept", "matrix-too-kept", "matrix-there-kept"}
    assert kept == {name for name in requests if name.endswith("-kept")}, "the agent knows which one is in use"
    assert not [name for name in built(GOOD) if name.endswith("-kept")], "a stack with one store is what it was"
    too = requests["matrix-too-kept"]
    assert {"matrix-media-store", "matrix-too-bucket", "matrix-too-bucket-user-policy"} <= depends_on(too)
    words = shlex.split(too.object.fields["delete"].string_value)
    assert words[:5] == ["test", "!", "-e", "/usr/local/lib/matrix-media-store/agent.pyz", "||"]
    assert words[-6:-1] == ["leave", "--stack", "test", "--empty-bucket", "--settings"]
    assert json.loads(words[-1])["store"]["bucket"] == "media-too"
    assert "--empty-bucket" not in requests["matrix-kept"].object.fields["delete"].string_value


def test_at_aws_the_key_of_the_store_that_serves_may_read_the_others_and_do_nothing_else_there() -> None:
    requests = built(stack("there", there=AWS, too=AWS_TOO))
    serving = json.loads(requests["matrix-there-bucket-user-policy"].object.fields["policy"].string_value)
    extra = [each for each in serving["Statement"] if "media-at-aws" not in json.dumps(each)]
    assert extra == [
        {"Sid": "Earlier0", "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::media-too/*"}
    ]
    other = requests["matrix-too-bucket-user-policy"].object.fields["policy"].string_value
    assert "media-at-aws" not in other
