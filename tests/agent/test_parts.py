"""The agent's smaller parts, each on its own."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from agent.copying import concurrency
from agent.copying.progress import progress_line
from agent.copying.rclone import rclone_argv
from agent.copying.transfer import Transfer
from agent.host.files import write_atomic
from agent.host.system import System
from agent.model.errors import Busy, Problem
from agent.model.layout import Layout
from agent.model.settings import merge, parse
from agent.state.lock import locked
from agent.store.listing import parse_listing
from agent.store.rclone_conf import rclone_conf, rclone_environment
from agent.store.signing import sign

from .conftest import Machine
from .stores import PLAIN


def test_requests_are_signed_as_the_reference_implementation_signs_them() -> None:
    url = "https://store.test:9000/media/local_content/a%20b%2B%25%5B%3A"
    for query, body in (("", b""), ("encoding-type=url&list-type=2&prefix=a%2Fb", b""), ("", b"content")):
        digest = hashlib.sha256(body).hexdigest()
        request = AWSRequest("PUT", url + ("?" + query if query else ""), data=body)
        request.context["timestamp"] = request.context["payload_signing_enabled"] = None
        request.headers["x-amz-content-sha256"] = digest
        auth = S3SigV4Auth(Credentials("ID", "KEY"), "s3", "eu-x")
        request.context["payload_signing_enabled"] = True
        auth.add_auth(request)
        when = request.headers["X-Amz-Date"]
        path = "/media/local_content/a%20b%2B%25%5B%3A"
        mine = sign("PUT", "store.test:9000", path, query, "eu-x", "ID", "KEY", digest, when)
        assert mine["authorization"] == request.headers["Authorization"]


def test_an_answer_that_is_no_listing_is_never_an_empty_bucket() -> None:
    for text in (b"<html>maintenance</html>", b"", b"not xml", b"<Error><Code>SlowDown</Code></Error>"):
        with pytest.raises(Problem, match="not a listing"):
            parse_listing(text, "ListBucketResult")


def test_rclone_gets_its_secrets_in_no_argument_and_names_as_they_are() -> None:
    argv = rclone_argv(Path("/lib/rclone"), "/src", "store:media", 8)
    assert argv[:4] == ["/lib/rclone", "copy", "/src", "store:media"]
    assert argv[argv.index("--files-from-raw") + 1] == "-" and "--config" not in argv
    assert {"--no-traverse", "--no-check-dest"} <= set(argv), "the agent decides what is copied"
    text = rclone_conf(PLAIN)
    assert "secret_access_key = KEY" in text and "acl" not in text and "upload_cutoff = 64M" in text
    assert "KEY" not in " ".join(argv)
    told = rclone_environment(PLAIN)
    assert told["RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY"] == "KEY" and told["RCLONE_CONFIG_STORE_TYPE"] == "s3"
    lines = [line.split(" = ") for line in text.splitlines() if " = " in line]
    assert {f"RCLONE_CONFIG_STORE_{name.upper()}": value for name, value in lines} == {
        name: value for name, value in told.items() if name != "RCLONE_CONFIG"
    }, "the mount and the copies are told the same"


def test_progress_says_how_far_how_fast_and_how_long() -> None:
    line = progress_line(120, 5000, 12_000_000, 508_000_000, 4)
    assert line == "copied 120 of 5,000 files, 12.0 of 508.0 MB (2 %), 3.0 MB/s, about 2 min 45 s left"
    assert "left" not in progress_line(5, 5, 10, 10, 1)
    assert progress_line(50, 100, 90, 100, 60).endswith("about 1 min 0 s left"), "small files are left"
    assert "(50 %)" in progress_line(50, 100, 90, 100, 60) and "(100 %)" in progress_line(5, 5, 10, 10, 1)
    assert "about 3 h 0 min left" in progress_line(1, 10_801, 1, 10_801, 1)
    assert "left" not in progress_line(0, 0, 0, 0, 0)


def test_settings_of_another_version_are_refused_by_name() -> None:
    for document, name in (
        ({"hots": {}}, "hots"),
        ({"host": {"x": 1}}, "host.x"),
        ({"store": {"bucket": 1}}, "store.bucket"),
    ):
        with pytest.raises(Problem, match=name):
            parse(document)
    assert merge({"a": {"x": 1, "y": 1}}, {"a": {"y": 2}, "b": {}}) == {"a": {"x": 1, "y": 2}, "b": {}}
    assert "KEY" not in repr(PLAIN)


def test_a_second_run_is_refused_while_one_holds_the_lock(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with locked(layout), pytest.raises(Busy, match="another run"), locked(layout, wait=0.2):
        raise AssertionError("two runs at once")


def test_a_file_is_replaced_whole_with_the_mode_given(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert write_atomic(path, b"1", 0o600) and not write_atomic(path, b"1", 0o600)
    assert write_atomic(path, b"1", 0o644) and path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["f"]


def test_a_check_that_hangs_or_fails_in_another_users_place_is_bounded_and_told() -> None:
    system = System()
    assert system.as_user(os.getuid(), os.getgid(), lambda: ["a", 1]) == ["a", 1]
    with pytest.raises(OSError, match="No such file"):
        system.as_user(0, 0, lambda: os.stat("/no/such/file"))
    with pytest.raises(TimeoutError):
        system.as_user(0, 0, lambda: __import__("time").sleep(60), timeout=0.2)


def test_mount_points_are_found_through_linked_folders(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/proc/..")
    assert System().has_disk(Path("/proc")) and System().has_disk(link / "proc")
    assert not System().has_disk(tmp_path) and not System().mounted(Path("/proc"))


@pytest.mark.parametrize(
    ("milliseconds", "free", "files"),
    [(0, 8 << 30, 32), (20, 8 << 30, 52), (80, 8 << 30, 112), (400, 8 << 30, 128), (80, 400 << 20, 50), (80, 0, 4)],
)
def test_the_further_the_store_the_more_files_at_once_as_far_as_memory_goes(
    milliseconds: int, free: bool, files: int
) -> None:
    assert concurrency.fitting(milliseconds / 1000, free) == files


def test_the_stacks_own_number_counts_and_a_store_is_asked_once_even_if_it_is_away(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "free_memory", lambda: 8 << 30)
    monkeypatch.setattr(server.bucket, "round_trip", lambda: (_ for _ in ()).throw(OSError("away")))
    assert Transfer(server.agent, print)._at_once() == concurrency.NEAR
    trips = iter([0.05])
    monkeypatch.setattr(server.bucket, "round_trip", lambda: next(trips))
    transfer = Transfer(server.agent, print)
    assert transfer._at_once() == transfer._at_once() == 82
    server.tell(copy={"transfers": 7})
    assert Transfer(server.agent, print)._at_once() == 7
