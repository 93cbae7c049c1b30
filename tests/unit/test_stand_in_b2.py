"""The stand-in for backblaze/b2, against the B2 that b2sdk simulates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from b2sdk.v3 import B2Api, B2HttpApiConfig, InMemoryAccountInfo, RawSimulator

from sandbox.plugins.terraform_provider import b2
from sandbox.plugins.terraform_provider.b2 import PROVIDER
from tests.unit.speaking import Refused, Speaker, check_config, configure

BUCKET = Speaker(PROVIDER, "b2:index/bucket:Bucket")
KEY = Speaker(PROVIDER, "b2:index/applicationKey:ApplicationKey")
INPUTS = {
    "bucketName": "matrix-media", "bucketType": "allPrivate",
    "lifecycleRules": [{"fileNamePrefix": "", "daysFromHidingToDeleting": 1}],
}  # fmt: skip


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[B2Api]:
    """An account as somebody else sees it, who changes things by hand; the stand-in has its master key."""
    service = RawSimulator()
    key_id, key = service.create_account()

    def api(info: Any) -> B2Api:
        return B2Api(info, api_config=B2HttpApiConfig(_raw_api_class=lambda http: service))

    monkeypatch.setattr(b2, "B2Api", api)
    monkeypatch.setattr(b2, "_CONFIG", {})
    for name in ("B2_APPLICATION_KEY_ID", "B2_APPLICATION_KEY", "B2_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    configure(PROVIDER, {"applicationKeyId": key_id, "applicationKey": key})
    found = api(InMemoryAccountInfo())
    found.authorize_account(key_id, key)
    yield found


def test_a_refresh_sees_what_was_changed_on_a_bucket_and_an_update_puts_it_right(account: B2Api) -> None:
    number, state = BUCKET.create(INPUTS)
    assert number == state["bucketId"]
    assert BUCKET.read(state, INPUTS) == (state, INPUTS) and not BUCKET.diff(state, INPUTS).diffs
    by_hand = account.get_bucket_by_name("matrix-media")
    rule = {"fileNamePrefix": "", "daysFromHidingToDeleting": 30}
    by_hand.update(bucket_type="allPublic", bucket_info={"who": "me"}, lifecycle_rules=[rule])
    found = BUCKET.read(state, INPUTS)
    assert found and found[1] == INPUTS | {"bucketType": "allPublic", "lifecycleRules": [rule]}
    answer = BUCKET.diff(found[0], INPUTS, found[1])
    assert set(answer.diffs) == {"bucketType", "bucketInfo", "lifecycleRules"} and not answer.replaces
    updated = BUCKET.update(found[0], INPUTS)
    assert updated | {"revision": state["revision"]} == state
    account.delete_bucket(account.get_bucket_by_id(number))
    assert BUCKET.read(updated, INPUTS) is None


def test_a_refresh_sees_that_a_key_is_gone_and_keeps_what_only_its_making_showed(account: B2Api) -> None:
    bucket, _ = BUCKET.create(INPUTS)
    inputs = {"keyName": "k", "capabilities": ["writeFiles", "listFiles"], "bucketIds": [bucket]}
    number, state = KEY.create(inputs)
    found = KEY.read(state, inputs)
    assert found and found[0]["applicationKey"] and found[1] == inputs
    assert not KEY.diff(found[0], {**inputs, "capabilities": ["listFiles", "writeFiles"]}, found[1]).diffs, "it's a set"
    assert KEY.diff(found[0], {**inputs, "capabilities": ["listFiles"]}, found[1]).replaces == ["capabilities"]
    account.delete_key_by_id(number)
    assert KEY.read(state, inputs) is None


@pytest.mark.parametrize(
    ("settings", "last"),
    [
        ({"applicationKeyId": "", "applicationKey": ""},
         "RuntimeError: B2 Application Key and Application Key ID must be provided"),
        ({"applicationKey": "wrong"}, "b2sdk._internal.exception.InvalidAuthToken: Invalid authorization token. "
         "Server said: secret key is wrong (unauthorized)"),
        ({"applicationKeyId": "wrong"}, "b2sdk._internal.exception.InvalidAuthToken: Invalid authorization token. "
         "Server said: application key ID not valid (unauthorized)"),
    ],
)  # fmt: skip
def test_keys_that_are_missing_or_wrong_are_told_with_the_first_call_as_pythons_traceback(
    settings: dict[str, str], last: str
) -> None:
    configure(PROVIDER, settings)
    for act in (lambda: BUCKET.create(INPUTS), lambda: BUCKET.read({"bucketId": "x"}, INPUTS)):
        with pytest.raises(Refused) as error:
            act()
        first, *_, line, colon = str(error.value).split("\n")
        assert first == "Traceback (most recent call last):" and (line, colon) == (last, ": ")


def test_a_bucket_that_exists_already_is_told_as_b2sdk_tells_it() -> None:
    BUCKET.create(INPUTS)
    with pytest.raises(Refused) as error:
        BUCKET.create(INPUTS)
    last = "b2sdk._internal.exception.DuplicateBucketName: Bucket name is already in use: matrix-media"
    assert str(error.value).split("\n")[-2:] == [last, ": "]


def test_an_unknown_setting_is_refused_in_the_bridges_words() -> None:
    assert check_config(PROVIDER, {"applicationKeyID": "x"}) == [
        "`b2:applicationKeyID` is not a valid configuration key for the b2 provider. If the referenced key is not "
        "intended for the provider, please choose a different namespace from `b2:`."
    ]
