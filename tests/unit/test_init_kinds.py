"""A new stack of each kind of store: what is asked, and what is written."""

from __future__ import annotations

import pytest

from operations.workspace import OperationError

from .answering import Answers, Made, made, plain, secret
from .vars_samples import AWS, HEAD

__all__ = ["made"]


def test_a_bucket_that_the_stack_makes_at_aws_needs_a_region_and_a_name_and_no_key(made: Made) -> None:
    said: list[str] = []
    person = Answers(Bucket=["s3", "aws"], Region=["Frankfurt", "eu-central-1"])
    calls = made(HEAD, person, said)
    settings = plain(calls)
    assert settings["aws:region"] == "eu-central-1" and settings["store.kind"] == "aws"
    assert settings["store.bucket"] == "matrix-example-com-media"
    assert "store.region" not in settings, "which the provider's own setting says"
    assert secret(calls).keys() == {"server.privateKey"}
    assert any("AWS's own credentials" in line for line in said)
    assert [line.partition(":")[0] for line in said if " -- " in line][-2:] == ["store.kind", "store.region"]


def test_a_bucket_that_the_stack_makes_at_b2_needs_a_key_which_stays_secret(made: Made) -> None:
    person = Answers(Id_of_an_application_key=["", "0012ab"], That="K001secret")
    calls = made(HEAD, person, kind="b2")
    assert plain(calls).items() >= {"store.kind": "b2", "store.bucket": "matrix-example-com-media"}.items()
    assert secret(calls).items() >= {"b2:applicationKeyId": "0012ab", "b2:applicationKey": "K001secret"}.items()
    assert not any("0012ab" in word for arguments, _ in calls for word in arguments)
    assert not any("Bucket:" in question for question in person.asked)


def test_the_playbooks_bucket_exists_whatever_an_option_says(made: Made) -> None:
    person = Answers()
    assert plain(made(AWS, person))["store.kind"] == "existing"
    assert not any("Bucket:" in question for question in person.asked)
    with pytest.raises(OperationError, match="names a bucket, which exists"):
        made(AWS, kind="aws")
    with pytest.raises(OperationError, match=r"store\.kind: is not existing, aws or b2"):
        made(HEAD, kind="gcs")


def test_a_teams_key_encrypts_the_stacks_secrets_where_one_is_named(made: Made) -> None:
    """Review, entry 59."""
    calls = made(AWS, secrets_provider="awskms://alias/matrix")
    made_by = [arguments for arguments, _ in calls if arguments[:2] == ("stack", "init")]
    assert made_by == [("stack", "init", "prod", "--no-select", "--secrets-provider", "awskms://alias/matrix")] * 2
