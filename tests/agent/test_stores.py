"""What kinds of store ask of the agent: customer keys, new keys, other programs, emptying."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from agent import (
    b2,
    copying,
    empty,
    install,
    media_tables,
    mirror,
    mount,
    mount_programs,
    owner,
    preflight,
    proof,
    remount,
)
from agent.context import Context
from agent.errors import Problem
from agent.manifest import Manifest
from agent.places import Places
from agent.s3 import Bucket, Object, Remainder, StoreError
from agent.settings import StoreSettings
from agent.signing import customer_key_headers, sign
from agent.tree import walk

from .conftest import Server

KEY = base64.b64encode(bytes(range(32))).decode()
STORE = StoreSettings(
    endpoint="https://store.test:9000", region="eu-x", bucket="media", storage_class="STANDARD_IA",
    access_key_id="ID", secret_access_key="SECRET-KEY", sse_customer_key=KEY,
)  # fmt: skip


def test_a_store_that_does_not_answer_is_named():
    bucket = Bucket(dataclasses.replace(STORE, endpoint="http://127.0.0.1:1"))
    bucket.set_patience(attempts=1)
    with pytest.raises(OSError, match="http://127.0.0.1:1 does not answer: ConnectionRefusedError"):
        bucket.head("x")
    assert not bucket.answers()


def with_settings(server: Server, **store: object) -> None:
    """The same server under other settings of the store."""
    server.settings = dataclasses.replace(server.settings, store=dataclasses.replace(server.settings.store, **store))


def test_customer_key_headers_are_those_that_botocore_sends_and_are_signed(monkeypatch):
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


def test_rclone_gets_the_customer_key_and_the_storage_class_in_its_file_and_mounts_without_a_cache_of_writes():
    conf = copying.rclone_conf(STORE)
    assert f"sse_customer_key_base64 = {KEY}" in conf and "sse_customer_algorithm = AES256" in conf
    assert "storage_class = STANDARD_IA" in conf
    command = mount_programs.command("rclone", Places(), STORE, Path("/w"), 991, 992)
    assert command.startswith("/usr/bin/rclone mount store:media /w --config /etc/matrix-media-store/rclone.conf")
    assert "--vfs-cache-mode off" in command and "--uid 991" in command and "--allow-other" in command
    assert KEY not in command and "SECRET-KEY" not in command


def test_goofys_gets_the_customer_key_from_its_units_environment_and_alone():
    command = mount_programs.command("goofys", Places(), STORE, Path("/w"), 991, 992)
    assert "--sse-c ${MATRIX_MEDIA_STORE_CUSTOMER_KEY}" in command and KEY not in command
    assert "--sse " not in command and "--storage-class STANDARD_IA" in command
    assert f"MATRIX_MEDIA_STORE_CUSTOMER_KEY={KEY}\n" in mount_programs.environment(STORE)
    without = dataclasses.replace(STORE, sse_customer_key="", storage_class="")
    plain = mount_programs.command("goofys", Places(), without, Path("/w"), 991, 992)
    assert "--sse" not in plain and "--storage-class" not in plain
    assert "CUSTOMER_KEY" not in mount_programs.environment(without)


def test_with_a_customer_key_an_etag_proves_nothing(tmp_path):
    (tmp_path / "f").write_bytes(b"content")
    md5 = hashlib.md5(b"content").hexdigest()
    for customer_key in (False, True):
        with Manifest(tmp_path / f"m-{customer_key}.sqlite", customer_key) as manifest:
            manifest.load_local([one for one in walk(tmp_path, []) if one.path == "f"])
            manifest.load_remote([Object("f", 7, md5)])
            manifest.add_prints([(next(manifest.all_local()), md5, "")])
            assert manifest.different() == (["f"] if customer_key else [])
            assert [item.key for item in manifest.doubtful()] == (["f"] if customer_key else [])
            manifest.add_read([("f", md5, md5)])
            assert manifest.different() == []


def test_objects_with_another_key_are_copied_anew_where_the_local_store_has_them(server):
    with_settings(server, sse_customer_key=KEY)
    server.write("local_content/aa", b"mine")
    server.bucket.objects["local_content/aa"] = b"mine"
    server.bucket.locked.add("local_content/aa")
    said: list[str] = []
    context = server.context()
    context.say = said.append
    mirror.mirror(context)
    assert server.bucket.locked == set()
    assert any("stored with another key or none: copying anew" in line for line in said)


@pytest.mark.parametrize("customer_key", ["", KEY])
def test_objects_with_another_key_that_nobody_has_here_stop_the_mirror(server, customer_key):
    with_settings(server, sse_customer_key=customer_key)
    server.write("local_content/aa", b"mine")
    server.bucket.objects["local_content/elsewhere"] = b"theirs"
    server.bucket.locked.add("local_content/elsewhere")
    with pytest.raises(Problem, match="'local_content/elsewhere' first") as caught:
        mirror.mirror(server.context())
    assert "remove them from the bucket" in caught.value.fix


def test_a_new_key_is_waited_for_and_a_known_one_is_not(server, monkeypatch):
    refusals = [StoreError(403, "AccessDenied", "list")] * 3
    asked = []

    def list_(**_):
        asked.append(1)
        if refusals:
            raise refusals.pop()
        return iter(())

    def wait_until(condition, seconds, every=0.1):
        return any(condition() for _ in range(int(seconds) + 1))

    with_settings(server, key_patience=10, access_key_id="new")
    context = server.context()
    monkeypatch.setattr(context.bucket, "list", list_)
    monkeypatch.setattr(context.system, "wait_until", wait_until)
    preflight._wait_for_key(context)
    assert len(asked) == 4
    install.keep(server.places, {"store": {"access_key_id": "new"}})
    refusals[:] = [StoreError(403, "AccessDenied", "list")]
    with pytest.raises(StoreError):
        preflight._wait_for_key(context)
    assert len(asked) == 5, "one refusal of a key that worked before is enough"


def test_the_owner_is_read_however_it_was_stored_and_then_written_with_the_key(monkeypatch, server):
    monkeypatch.undo()
    with_settings(server, sse_customer_key=KEY)
    server.bucket.objects[owner.OWNER_KEY] = b'{"server": "me", "id": "1", "epoch": 4}'
    server.bucket.locked.add(owner.OWNER_KEY)
    monkeypatch.setattr(owner, "server_id", lambda: "1")
    assert owner.read(server.context())["server"] == "me"
    owner.claim(server.context())
    assert not server.bucket.locked and owner.read(server.context())["epoch"] == 5


def _remember(server: Server, **store: object) -> Context:
    """A server that was told of a store before, and now of another."""
    before = dataclasses.asdict(server.settings.store)
    install.keep(server.places, {"store": before})
    with_settings(server, **store)
    return server.context()


def test_the_customer_key_may_change_only_while_nothing_relies_on_it(server):
    context = _remember(server, sse_customer_key=KEY)
    assert context.journal.phase == "prepare" and install.check_same_bucket(context)
    for phase in ("mirror", "live", "clean"):
        context.journal.phase = phase
        with pytest.raises(Problem, match="sseCustomerKey changed") as caught:
            install.check_same_bucket(context)
        assert KEY not in str(caught.value)


# Emptying


def _mirrored(server: Server) -> None:
    for number in range(30):
        server.write(f"local_content/{number:02}", b"%d" % number)
    mirror.mirror(server.context())


def test_an_emptied_bucket_keeps_nothing_and_the_local_store_everything(server):
    _mirrored(server)
    server.bucket.versions = [Remainder("local_content/00", "versionId", "old"), Remainder("x", "uploadId", "u")]
    server.bucket.objects["url_cache/2026-01-01/preview"] = b"rebuilt"
    tree = server.tree()
    empty.empty(server.context())
    assert server.bucket.objects == {} and server.bucket.versions == []
    assert server.tree() == tree


def test_what_synapse_purged_here_since_may_go_from_the_bucket_too_and_nothing_else_that_is_gone(server, monkeypatch):
    _mirrored(server)
    (server.store / "local_content/07").unlink()
    with pytest.raises(Problem, match="does not say that they were purged, 'local_content/07' first"):
        empty.empty(server.context())
    assert len(server.bucket.objects) == 30
    monkeypatch.setattr(media_tables, "purged", lambda context, paths, present: set(paths))
    empty.empty(server.context())
    assert server.bucket.objects == {}


def test_nothing_is_emptied_while_a_local_file_differs_from_its_object(server):
    _mirrored(server)
    server.write("local_content/03", b"")  # as a crash may leave it
    held = dict(server.bucket.objects)
    with pytest.raises(Problem, match="differ from the bucket, 'local_content/03' first"):
        empty.empty(server.context())
    assert server.bucket.objects == held


def test_only_the_bucket_that_was_used_is_emptied(server):
    told = {"store": {"endpoint": "https://store.test", "bucket": "b"}}
    install.keep(server.places, told)
    install.check_told_bucket(server.places, told)
    with pytest.raises(Problem, match="is told to empty other"):
        install.check_told_bucket(server.places, {"store": {**told["store"], "bucket": "other"}})


def test_an_empty_bucket_needs_no_local_store_to_compare_with(server):
    server.settings = dataclasses.replace(
        server.settings, host=dataclasses.replace(server.settings.host, media_store="/no/such/folder")
    )
    empty.empty(server.context())


def test_nothing_is_emptied_while_an_object_is_not_here_and_not_ours(server):
    _mirrored(server)
    server.bucket.objects["local_content/stranger"] = b"?"
    held = dict(server.bucket.objects)
    with pytest.raises(Problem, match="local_content/stranger"):
        empty.empty(server.context())
    assert server.bucket.objects == held


def test_nothing_is_emptied_on_the_word_of_a_local_store_that_lost_many_files(server):
    _mirrored(server)
    for number in range(20):
        (server.store / f"local_content/{number:02}").unlink()
    held = dict(server.bucket.objects)
    with pytest.raises(Problem, match="gone from the local store"):
        empty.empty(server.context())
    assert server.bucket.objects == held


def test_nothing_is_emptied_while_the_bucket_serves_or_is_anothers(server, monkeypatch):
    _mirrored(server)
    context = server.context()
    context.journal.serving = "bucket"
    with pytest.raises(Problem, match="still lives in the bucket"):
        empty.empty(context)

    def refuse(context):
        raise Problem("bucket b belongs to server other", "use another")

    monkeypatch.setattr(owner, "check", refuse)
    with pytest.raises(Problem, match="belongs to server other"):
        empty.empty(server.context())
    assert len(server.bucket.objects) == 30


def test_an_interrupted_emptying_goes_on_where_it_was(server):
    _mirrored(server)
    tree = server.tree()
    server.power.left = 12
    with pytest.raises(BaseException):  # noqa: B017 - a power loss is no Exception
        empty.empty(server.context())
    server.reboot()
    assert 0 < len(server.bucket.objects) < 30
    empty.empty(server.context())
    assert server.bucket.objects == {} and server.tree() == tree


def test_a_bucket_that_is_gone_already_is_empty(server, monkeypatch):
    def gone(**_):
        raise StoreError(404, "NoSuchBucket", "list")

    context = server.context()
    monkeypatch.setattr(context.bucket, "list", gone)
    empty.empty(context)


# Backblaze's command line


def test_the_b2_command_is_that_of_the_manual_procedure_and_gets_its_key_from_the_environment():
    argv = b2.sync_argv(Path("/b2"), Path("/src"), "media", ["url_cache", "url_cache_thumbnails"], 20)
    assert argv == [
        "/b2", "sync", "--threads", "20", "--no-progress", "--skip-newer",
        "--exclude-dir-regex", "^(url_cache|url_cache_thumbnails)$", "/src", "b2://media",
    ]  # fmt: skip
    env = b2.environment(STORE, Path("/tmp/info"))
    assert env == {
        "B2_APPLICATION_KEY_ID": "ID", "B2_APPLICATION_KEY": "SECRET-KEY", "B2_ACCOUNT_INFO": "/tmp/info",
    }  # fmt: skip
    api = dataclasses.replace(STORE, b2_api="http://b2.test")
    assert b2.environment(api, Path("/i"))["B2_ENVIRONMENT"] == "http://b2.test"


def test_what_b2_left_is_copied_by_rclone(server):
    server.settings = dataclasses.replace(
        server.settings, migration=dataclasses.replace(server.settings.migration, copy_method="b2")
    )
    context = server.context()
    assert [copying.method(context, first) for first in (True, False)] == ["b2", "rclone"]


def test_the_b2_command_line_is_pinned_with_checksums_for_every_python_the_agent_runs_on():
    text = (Path(b2.__file__).parent / b2.REQUIREMENTS).read_text()
    assert "b2==4" in text and "b2==5" in text, "one for Python 3.9, one for newer"
    packages = [line for line in text.splitlines() if "==" in line]
    assert packages and all(line.endswith("\\") for line in packages), "each is followed by its hashes"


# A remount under new settings


def test_a_remount_is_measured_and_proven(server, monkeypatch):
    proven = []
    monkeypatch.setattr(proof, "prove", lambda context: proven.append(1))
    context = server.context()
    context.journal.phase, context.journal.serving = "live", "bucket"
    context.journal.facts["remount"] = True
    context.save()
    remount.remount(server.context())
    journal = server.context().journal
    assert proven == [1] and journal.facts["remount"] is False
    assert journal.facts["remounted"]["services_stopped_seconds"] >= 0
    assert "matrix-synapse.service" in server.system.active


def test_where_new_settings_do_not_prove_themselves_the_earlier_ones_come_back(server, monkeypatch):
    context = server.context()
    context.journal.phase, context.journal.serving = "live", "bucket"
    conf = server.places.rclone_conf
    conf.parent.mkdir(parents=True)
    conf.write_bytes(b"earlier")
    mount.keep_earlier(context, {conf: b"earlier"})
    conf.write_bytes(b"newer")
    context.journal.facts["remount"] = True
    context.save()
    monkeypatch.setattr(Context, "load", lambda *_: server.context())

    def prove(context: Context) -> None:
        if conf.read_bytes() == b"newer":
            raise Problem("the mount takes no new file", "look")

    monkeypatch.setattr(proof, "prove", prove)
    with pytest.raises(Problem, match="the earlier ones serve again: the mount takes no new file"):
        remount.remount(server.context())
    assert conf.read_bytes() == b"earlier" and not server.places.earlier.exists()
    journal = server.context().journal
    assert journal.facts["remount"] is False and journal.serving == "bucket" and journal.step is None
    assert "matrix-synapse.service" in server.system.active


def test_the_earlier_program_comes_back_with_its_files(server):
    goofys = server.places.goofys
    goofys.parent.mkdir(parents=True)
    goofys.write_bytes(b"\x7fELF\xffearlier")
    goofys.chmod(0o755)
    mount.keep_earlier(server.context(), {goofys: goofys.read_bytes()})
    goofys.write_bytes(b"a newer one that fails")
    assert mount.bring_earlier_back(server.context())
    assert goofys.read_bytes() == b"\x7fELF\xffearlier" and goofys.stat().st_mode & 0o777 == 0o755


def _told_of(server: Server, monkeypatch, tries: list[str]) -> Context:
    """A live server whose mount's files are about to change; `tries` is what the trial beside it does."""
    monkeypatch.setattr(preflight, "run", lambda context: None)
    monkeypatch.setattr(install, "install_packages", lambda context: None)
    monkeypatch.setattr(mount, "unit_files", lambda context: {})
    monkeypatch.setattr(mount, "read_files", lambda context: {server.places.credentials: b"earlier"})

    def change(context: Context) -> set[Path]:
        changed = server.places.credentials.read_bytes() != b"newer"
        server.places.credentials.write_bytes(b"newer")
        return {server.places.credentials} if changed else set()

    def try_(context: Context) -> None:
        if tries and tries.pop() == "killed":
            raise KeyboardInterrupt

    monkeypatch.setattr(mount, "install", change)
    monkeypatch.setattr(install, "_try", try_)
    server.places.credentials.parent.mkdir(parents=True, exist_ok=True)
    server.places.credentials.write_bytes(b"earlier")
    context = server.context()
    context.journal.phase, context.journal.serving = "live", "bucket"
    context.save()
    return context


def test_a_run_killed_between_new_files_and_the_remount_is_made_up_by_the_next(server, monkeypatch):
    context = _told_of(server, monkeypatch, [])
    document = {"store": dataclasses.asdict(server.settings.store), "mount": {}}
    # Killed for good right after the files: nothing of what follows runs.
    monkeypatch.setattr(install, "_try", lambda context: (_ for _ in ()).throw(SystemExit))
    monkeypatch.setattr(mount, "bring_earlier_back", lambda context: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        install.install_mount(context, document)
    assert server.context().journal.facts["remount"] is True
    monkeypatch.setattr(install, "_try", lambda context: None)
    install.install_mount(server.context(), document)
    assert server.context().journal.facts["remount"] is True, "although no file changed now"


def test_files_that_fail_their_trial_are_taken_back(server, monkeypatch):
    context = _told_of(server, monkeypatch, ["killed"])
    with pytest.raises(KeyboardInterrupt):
        install.install_mount(context, {"store": {}, "mount": {}})
    assert server.places.credentials.read_bytes() == b"earlier"
    assert server.context().journal.facts["remount"] is False


def test_a_new_customer_key_in_prepare_takes_the_owners_mark_over(monkeypatch, server):
    monkeypatch.undo()
    monkeypatch.setattr(owner, "server_id", lambda: "1")
    owner.claim(server.context())
    context = _remember(server, sse_customer_key=KEY)
    old = server.bucket
    monkeypatch.setattr(Context, "load", lambda *_: dataclasses.replace(context) and server.context())
    assert install.check_same_bucket(context)
    install._hand_over(context)
    assert owner.read(server.context())["id"] == "1" and old is server.bucket
