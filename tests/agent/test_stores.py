"""What kinds of store ask of the agent: signatures, customer keys, new keys, owners."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from agent.media.equality import Manifest
from agent.media.walk import walk
from agent.migration import mirror
from agent.model.errors import Problem, StoreError, StoreUnavailable
from agent.model.items import Object, ServerIds
from agent.model.layout import OWNER_KEY, Layout
from agent.model.phases import Phase
from agent.model.settings import Settings, StoreSettings
from agent.serving import programs
from agent.setup import mount as setup_mount
from agent.setup import preflight
from agent.state.run import Server, keep_settings
from agent.store import ownership
from agent.store.bucket import Bucket
from agent.store.rclone_conf import rclone_conf
from agent.store.signing import customer_key_headers, sign

from .conftest import PROGRAMS, Machine
from .stores import KEY, STORE, remember


def test_a_store_that_does_not_answer_is_named() -> None:
    bucket = Bucket(dataclasses.replace(STORE, endpoint="http://127.0.0.1:1"))
    bucket.set_patience(attempts=1)
    with pytest.raises(StoreUnavailable, match="http://127.0.0.1:1 does not answer: ConnectionRefusedError"):
        bucket.head("x")
    assert not bucket.answers()


def test_customer_key_headers_are_those_that_botocore_sends_and_are_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = customer_key_headers(KEY)
    digest = base64.b64encode(hashlib.md5(bytes(range(32))).digest()).decode()
    assert headers == {
        "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-server-side-encryption-customer-key": KEY,
        "x-amz-server-side-encryption-customer-key-md5": digest,
    }
    when, body = "20261231T235959Z", hashlib.sha256(b"x").hexdigest()
    mine = sign("GET", "store.test", "/media/a", "", "eu-x", "ID", "KEY", body, when, headers)
    request = AWSRequest("GET", "https://store.test/media/a", headers={**headers, "X-Amz-Content-SHA256": body})
    request.context["timestamp"] = when
    auth = SigV4Auth(Credentials("ID", "KEY"), "s3", "eu-x")
    request.headers["X-Amz-Date"] = when
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    assert mine["authorization"].endswith(f"Signature={signature}")


def at(store: StoreSettings, program: str) -> Server:
    """A server whose bucket is at that store and is mounted by that program."""
    return Server(Layout(), Settings(store=store, mount=dataclasses.replace(PROGRAMS, program=program)))


def test_rclone_gets_the_customer_key_and_the_storage_class_in_its_file_and_mounts_without_a_cache_of_writes() -> None:
    conf = rclone_conf(STORE)
    assert f"sse_customer_key_base64 = {KEY}" in conf and "sse_customer_algorithm = AES256" in conf
    assert "storage_class = STANDARD_IA" in conf
    command = programs.command(at(STORE, "rclone"), Path("/w"), 991, 992)
    assert re.match(
        r"/usr/local/lib/matrix-media-store/rclone-[0-9a-f]{12} mount store:media /w "
        r"--config /etc/matrix-media-store/rclone.conf",
        command,
    )
    assert "--vfs-cache-mode off" in command and "--uid 991" in command and "--allow-other" in command
    assert KEY not in command and "SECRET-KEY" not in command


def test_goofys_gets_the_customer_key_from_its_units_environment_and_alone() -> None:
    command = programs.command(at(STORE, "goofys"), Path("/w"), 991, 992)
    assert "--sse-c ${MATRIX_MEDIA_STORE_CUSTOMER_KEY}" in command and KEY not in command
    assert "--sse " not in command and "--storage-class STANDARD_IA" in command
    assert f"MATRIX_MEDIA_STORE_CUSTOMER_KEY={KEY}\n" in programs.environment(STORE)
    without = dataclasses.replace(STORE, sse_customer_key="", storage_class="")
    plain = programs.command(at(without, "goofys"), Path("/w"), 991, 992)
    assert "--sse" not in plain and "--storage-class" not in plain
    assert "CUSTOMER_KEY" not in programs.environment(without)


def test_with_a_customer_key_an_etag_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    md5 = hashlib.md5(b"content").hexdigest()
    for customer_key in (False, True):
        with Manifest(tmp_path / f"m-{customer_key}.sqlite", customer_key) as manifest:
            manifest.load_local([one for one in walk(tmp_path, []) if one.path == "f"])
            manifest.load_remote([Object("f", 7, md5)])
            manifest.add_checksums([(next(manifest.all_local()), md5, "")])
            assert manifest.different() == (["f"] if customer_key else [])
            assert [item.key for item in manifest.doubtful()] == (["f"] if customer_key else [])
            manifest.add_read([("f", md5, md5)])
            assert manifest.different() == []


def test_objects_with_another_key_are_copied_anew_where_the_local_store_has_them(server: Machine) -> None:
    server.tell(store={"sse_customer_key": KEY})
    server.write("local_content/aa", b"mine")
    server.bucket.objects["local_content/aa"] = b"mine"
    server.bucket.locked.add("local_content/aa")
    mirror.mirror(server.run())
    assert server.bucket.locked == set()
    assert any("stored with another key or none: copying anew" in line for line in server.said)


@pytest.mark.parametrize("customer_key", ["", KEY])
def test_objects_with_another_key_that_nobody_has_here_stop_the_mirror(server: Machine, customer_key: str) -> None:
    server.tell(store={"sse_customer_key": customer_key})
    server.write("local_content/aa", b"mine")
    server.bucket.objects["local_content/elsewhere"] = b"theirs"
    server.bucket.locked.add("local_content/elsewhere")
    with pytest.raises(Problem, match="'local_content/elsewhere' first") as caught:
        mirror.mirror(server.run())
    assert "remove them from the bucket" in caught.value.fix


def test_a_new_key_is_waited_for_and_a_known_one_is_not(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = [StoreError(403, "AccessDenied", "list")] * 3
    asked: list[int] = []

    def list_(**_: Any) -> Iterator[Object]:
        asked.append(1)
        if refusals:
            raise refusals.pop()
        return iter(())

    def wait_until(condition: Callable[[], bool], seconds: float, every: float = 0.1) -> bool:
        return any(condition() for _ in range(int(seconds) + 1))

    server.tell(store={"key_patience": 10, "access_key_id": "new"})
    monkeypatch.setattr(server.bucket, "list", list_)
    monkeypatch.setattr(server.system, "wait_until", wait_until)
    preflight._wait_for_key(server.agent, server.said.append)
    assert len(asked) == 4
    keep_settings(server.layout, {"store": {"access_key_id": "new"}})
    refusals[:] = [StoreError(403, "AccessDenied", "list")]
    with pytest.raises(StoreError):
        preflight._wait_for_key(server.agent, server.said.append)
    assert len(asked) == 5, "one refusal of a key that worked before is enough"


def test_the_owner_is_read_however_it_was_stored_and_then_written_with_the_key(
    monkeypatch: pytest.MonkeyPatch, server: Machine
) -> None:
    monkeypatch.undo()
    server.tell(store={"sse_customer_key": KEY})
    server.bucket.objects[OWNER_KEY] = b'{"server": "me", "id": "1", "epoch": 4}'
    server.bucket.locked.add(OWNER_KEY)
    assert ownership.read(server.bucket) == ownership.Mark("me", "1", 4)
    ownership.claim(server.bucket, ServerIds("1", "0"), "b", adopt=False)
    assert not server.bucket.locked and ownership.read(server.bucket) == (socket.gethostname(), "1", 4)


def test_the_customer_key_may_change_only_while_nothing_relies_on_it(server: Machine) -> None:
    run = remember(server, sse_customer_key=KEY)
    assert run.journal.phase is Phase.PREPARE and setup_mount._store_changed(run)
    for phase in (Phase.MIRROR, Phase.LIVE, Phase.CLEAN):
        server.hold(phase)
        with pytest.raises(Problem, match="sseCustomerKey changed") as caught:
            setup_mount._store_changed(server.run())
        assert KEY not in str(caught.value)
