"""The S3 client: what it asks for below a prefix, what it makes of a refusal, and what is archived."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
from typing import Any

import pytest

from agent.copying import trial
from agent.model.errors import Problem, StoreError, StoreUnavailable
from agent.model.items import Object, Remainder
from agent.store.bucket import Bucket
from agent.store.listing import parse_error

from .stores import PLAIN

BELOW = dataclasses.replace(PLAIN, prefix="matrix/media")


class Response:
    """An answer with status and body."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status, self._body = status, io.BytesIO(body)

    def read(self, size: int = -1) -> bytes:
        return self._body.read(size)

    def getheader(self, name: str) -> str | None:
        return {"Content-Length": "3", "ETag": '"e"'}.get(name)


class Connection:
    """Remembers each request, and answers with what the test has."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.answers, self.requests = [*answers], []  # type: list[tuple[int, str]], list[tuple[str, str, Any]]

    def request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> None:
        self.requests.append((method, path, headers))

    def getresponse(self) -> Response:
        status, text = self.answers.pop(0)
        return Response(status, text.encode())


def client(monkeypatch: pytest.MonkeyPatch, store: Any, *answers: tuple[int, str]) -> tuple[Bucket, Connection]:
    connection = Connection(*answers)
    monkeypatch.setattr(Bucket, "_connection", lambda self: connection)
    return Bucket(store), connection


def listing(*items: str) -> str:
    return f"<ListBucketResult>{''.join(items)}<IsTruncated>false</IsTruncated></ListBucketResult>"


def contents(key: str, storage_class: str = "STANDARD") -> str:
    return (
        f'<Contents><Key>{key}</Key><Size>3</Size><ETag>"e"</ETag>'
        f"<StorageClass>{storage_class}</StorageClass></Contents>"
    )


def test_below_a_prefix_every_key_is_one_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, seen = client(
        monkeypatch, BELOW,
        (200, listing(contents("matrix/media/local_content/a"))), (200, ""), (200, "abc"), (200, ""), (204, ""),
    )  # fmt: skip
    assert list(bucket.list("local_content/")) == [Object("local_content/a", 3, "e")]
    bucket.head("k")
    assert bucket.get("k") == b"abc"
    bucket.put("k", b"abc")
    bucket.delete("k")
    assert "prefix=matrix%2Fmedia%2Flocal_content%2F" in seen.requests[0][1]
    assert [path for _, path, _ in seen.requests[1:]] == ["/media/matrix/media/k"] * 4


def test_what_keeps_a_bucket_from_being_deleted_is_looked_for_below_the_prefix_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    versions = (
        "<ListVersionsResult><Version><Key>matrix/media/a</Key><VersionId>1</VersionId></Version></ListVersionsResult>"
    )
    bucket, seen = client(
        monkeypatch,
        BELOW,
        (200, versions),
        (200, "<ListMultipartUploadsResult></ListMultipartUploadsResult>"),
        (204, ""),
    )
    (found,) = bucket.remainders()
    bucket.remove(found)
    assert found == Remainder("a", "versionId", "1")
    assert all("prefix=matrix%2Fmedia%2F" in path for _, path, _ in seen.requests[:2])
    assert seen.requests[2][1] == "/media/matrix/media/a?versionId=1"


def test_a_store_that_lists_what_is_not_below_the_prefix_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, _ = client(monkeypatch, BELOW, (200, listing(contents("other/a"))))
    with pytest.raises(Problem, match="'other/a', which does not begin with 'matrix/media/'"):
        list(bucket.list())


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [("backups/x", "", "backups/x"), ("matrix/media/a", "z", "z"), ("matrix/media/a", "", ""), ("", "", "")],
)
def test_what_else_is_in_the_bucket_is_found_with_two_requests(
    monkeypatch: pytest.MonkeyPatch, before: str, after: str, found: str
) -> None:
    answers = [(200, listing(*([contents(key)] if key else []))) for key in (before, after)]
    bucket, seen = client(monkeypatch, BELOW, *answers)
    assert bucket.first_outside() == found and len(seen.requests) <= 2
    whole, none = client(monkeypatch, PLAIN)
    assert whole.first_outside() == "" and none.requests == []


def test_the_stores_own_message_is_in_the_error_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Review, D: caps, suspended accounts and clocks all read 'check store.accessKeyId'."""
    text = (
        '<?xml version="1.0"?><Error xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Code>AccessDenied</Code>'
        "<Message>Transaction cap exceeded,\n see the Caps page \u0007</Message></Error>"
    ).replace("\u0007", "")
    bucket, _ = client(monkeypatch, PLAIN, (403, text))
    with pytest.raises(StoreError) as caught:
        bucket.get("k")
    assert str(caught.value) == "GET k: 403 AccessDenied (Transaction cap exceeded, see the Caps page)"
    assert caught.value.answer == "403 AccessDenied (Transaction cap exceeded, see the Caps page)"


@pytest.mark.parametrize("text", ["", "<html>", "{}", "<Error><Code/></Error>"])
def test_a_refusal_that_says_nothing_is_no_trouble(text: str) -> None:
    assert parse_error(text.encode()) == ("", "")


def test_a_long_message_is_cut() -> None:
    assert len(parse_error(f"<Error><Code>X</Code><Message>{'y' * 5000}</Message></Error>".encode())[1]) == 300


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("InvalidAccessKeyId", "check store.accessKeyId"),
        ("SignatureDoesNotMatch", "most likely store.secretAccessKey is wrong"),
        ("AccessDenied", "do what the store says"),
    ],
)
def test_each_refusal_has_its_remedy(code: str, remedy: str) -> None:
    assert trial.remedy(StoreError(403, code, "", "")).startswith(remedy)


def test_a_store_that_goes_away_in_the_middle_is_told_as_such() -> None:
    error = StoreUnavailable("https://store.test does not answer: timed out")
    assert error.answer == "nothing (https://store.test does not answer: timed out)"
    assert "network" in trial.remedy(error)


def test_each_object_that_is_put_comes_with_its_md5_as_object_lock_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, seen = client(monkeypatch, PLAIN, (200, ""))
    bucket.put("k", b"abc")
    _, _, headers = seen.requests[0]
    assert headers["content-md5"] == base64.b64encode(hashlib.md5(b"abc").digest()).decode()
    assert "content-md5;" in headers["authorization"], "it is signed"


@pytest.mark.parametrize(
    ("storage_class", "archived"),
    [("STANDARD", False), ("GLACIER", True), ("DEEP_ARCHIVE", True), ("GLACIER_IR", False), ("STANDARD_IA", False)],
)
def test_the_listing_tells_what_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, storage_class: str, archived: bool
) -> None:
    bucket, _ = client(monkeypatch, PLAIN, (200, listing(contents("a", storage_class))))
    assert [item.archived for item in bucket.list()] == [archived]
