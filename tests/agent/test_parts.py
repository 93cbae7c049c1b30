"""The agent's parts, each on its own."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from agent import answers, content, copying, guard, media_tables, mirror, mount, mount_programs, pace, s3, services
from agent.content import checksums
from agent.errors import Problem
from agent.files import write_atomic
from agent.journal import Journal, locked
from agent.manifest import Manifest
from agent.places import MOUNT_UNIT, Places
from agent.s3 import Object
from agent.settings import StoreSettings, merge, parse
from agent.system import System
from agent.templates import quote
from agent.tree import walk

STORE = StoreSettings(
    endpoint="https://store.test:9000", region="eu-x", bucket="media", access_key_id="ID", secret_access_key="KEY"
)


def test_requests_are_signed_as_the_reference_implementation_signs_them():
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
        mine = s3.sign("PUT", "store.test:9000", path, query, "eu-x", "ID", "KEY", digest, when)
        assert mine["authorization"] == request.headers["Authorization"]


def test_an_answer_that_is_no_listing_is_never_an_empty_bucket():
    for text in (b"<html>maintenance</html>", b"", b"not xml", b"<Error><Code>SlowDown</Code></Error>"):
        with pytest.raises(Problem, match="not a listing"):
            s3._listing(text, "ListBucketResult")


def test_multipart_etags_are_those_that_s3_computes(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "PART_CUTOFF", 10)
    monkeypatch.setattr(content, "PART_SIZE", 4)
    (tmp_path / "f").write_bytes(b"0123456789")
    md5, parts = checksums(tmp_path / "f", 10)
    by_hand = b"".join(hashlib.md5(p).digest() for p in (b"0123", b"4567", b"89"))
    assert md5 == "781e5e245d69b566979b86e28d23f2c7"
    assert parts == hashlib.md5(by_hand).hexdigest() + "-3"
    (tmp_path / "small").write_bytes(b"small")
    assert checksums(tmp_path / "small", 5)[1] == ""


@pytest.fixture
def manifest(tmp_path):
    with Manifest(tmp_path / "m.sqlite") as made:
        yield made


def store_with(tmp_path: Path, files: dict[str, bytes]) -> Path:
    root = tmp_path / "store"
    for name, body in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return root


def test_equal_means_equal_content_not_equal_size(tmp_path, manifest):
    root = store_with(tmp_path, {"same": b"abc", "other": b"abc", "gone": b"abc", "odd": b"abc"})
    manifest.load_local(walk(root, []))
    md5 = hashlib.md5(b"abc").hexdigest()
    manifest.load_remote(
        [Object("same", 3, md5), Object("other", 3, "0" * 32), Object("odd", 3, "x-2"), Object("new", 1, "y")]
    )
    content.print_files(manifest, root, manifest.unprinted())
    assert manifest.missing_remotely() == ["gone"] and manifest.missing_locally() == ["new"]
    assert manifest.different() == ["odd", "other"]
    assert [item.key for item in manifest.doubtful()] == ["odd", "other"]
    manifest.add_read([("odd", "x-2", md5), ("other", "0" * 32, "1" * 32)])
    assert manifest.different() == ["other"]
    manifest.load_remote([Object("odd", 3, "x-3")])
    assert manifest.different() == ["odd"], "what was read back counts for that ETag only"


def test_a_checksum_counts_only_for_the_very_file_it_was_made_of(tmp_path, manifest):
    root = store_with(tmp_path, {"f": b"abc"})
    manifest.load_local(walk(root, []))
    manifest.load_remote([Object("f", 3, hashlib.md5(b"abc").hexdigest())])
    content.print_files(manifest, root, manifest.unprinted())
    assert manifest.equal() == (1, 3)
    info = (root / "f").stat()
    (root / "f").write_bytes(b"abd")
    os.utime(root / "f", ns=(info.st_atime_ns, info.st_mtime_ns))
    manifest.load_local(walk(root, []))
    assert manifest.equal() == (0, 0), "same size and mtime, other ctime"


def test_a_walk_leaves_out_what_it_is_told_at_the_top_only(tmp_path):
    root = store_with(tmp_path, {"url_cache/x": b"", "a/url_cache/y": b"", "b": b""})
    assert sorted(e.path for e in walk(root, ["url_cache"])) == ["a/url_cache/y", "b"]


@pytest.mark.parametrize("kind", ["link", "line break", "pipe", "not UTF-8", "too long", "escape"])
def test_what_a_bucket_cannot_hold_is_told_before_anything_is_copied(tmp_path, kind):
    root = store_with(tmp_path, {"ok": b""})
    if kind == "link":
        (root / "l").symlink_to("ok")
    elif kind == "pipe":
        os.mkfifo(root / "p")
    elif kind == "too long":
        store_with(tmp_path, {"/".join(["n" * 200] * 6): b""})
    else:
        (root / {"line break": "a\nb", "not UTF-8": os.fsdecode(b"\xff"), "escape": "a\u201bb"}[kind]).touch()
    with pytest.raises(Problem, match="--"):
        list(walk(root, []))


def test_deletions_beyond_the_limit_need_confirmation():
    assert mirror.allowed_deletions(1000, 5.0) == 50
    assert mirror.allowed_deletions(100, 5.0) == 20, "a few are believed in a small store"
    assert mirror.allowed_deletions(10, 5.0) == 5, "but never more than half"
    assert mirror.allowed_deletions(0, 5.0) == 0


@pytest.mark.parametrize("key", ["/etc/passwd", "a/../b", "a//b", "folder/", "..", "./a"])
def test_keys_that_are_no_file_names_are_passed_over(key):
    assert not mirror._is_file_name(key)
    assert mirror._is_file_name("remote_content/[::1]:8448/aa/bb/...")


def test_rclone_gets_its_secrets_in_a_file_and_names_as_they_are():
    argv = copying.rclone_argv(Path("/c"), "/src", "store:media", Path("/names"), 8)
    assert argv[:4] == ["rclone", "copy", "/src", "store:media"]
    assert argv[argv.index("--files-from-raw") + 1] == "/names"
    assert {"--no-traverse", "--no-check-dest"} <= set(argv), "the agent decides what is copied"
    text = copying.rclone_conf(STORE)
    assert "secret_access_key = KEY" in text and "acl" not in text and "upload_cutoff = 64M" in text
    assert "KEY" not in " ".join(argv)


def test_progress_says_how_far_how_fast_and_how_long():
    line = copying.progress_line(120, 5000, 12_000_000, 508_000_000, 4)
    assert line == "copied 120 of 5,000 files, 12.0 of 508.0 MB, 3.0 MB/s, about 165 s left"
    assert "left" not in copying.progress_line(5, 5, 10, 10, 1)
    assert copying.progress_line(50, 100, 90, 100, 60).endswith("about 60 s left"), "small files are left"
    assert "left" not in copying.progress_line(0, 0, 0, 0, 0)


def test_goofys_serves_the_owner_alone_and_gets_no_key_as_an_argument():
    argv = mount_programs.goofys_argv(Path("/g"), STORE, Path("/w"), 991, 992)
    wanted = {"--uid": "991", "--gid": "992", "--dir-mode": "0700", "--file-mode": "0600", "--region": "eu-x"}
    for flag, value in wanted.items():
        assert argv[argv.index(flag) + 1] == value
    assert argv[-2:] == ["media", "/w"] and "KEY" not in " ".join(argv) and "--acl" not in argv


def test_unit_files_pass_systemds_own_check_whatever_the_path(server):
    assert quote("/a b$c") == '"/a b$$c"' and quote("/plain") == "/plain"
    text = mount.unit_text(server.context(), Path("/srv/with blank%"), "d").decode()
    assert '"/srv/with blank%%"' in text
    unit = server.root / "t.service"
    unit.write_text(text.replace(str(server.places.goofys), "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert "Invalid" not in done.stderr and "Failed to parse" not in done.stderr, done.stderr


def test_goofys_that_is_not_the_pinned_one_is_refused(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"binary")
    settings = parse({"mount": {"goofys_url": source.as_uri(), "goofys_sha256": "0" * 64}}).mount
    with pytest.raises(Problem, match="SHA-256"):
        mount.fetch_goofys(tmp_path / "goofys", settings)
    assert not (tmp_path / "goofys").exists()
    good = parse(
        {"mount": {"goofys_url": source.as_uri(), "goofys_sha256": hashlib.sha256(b"binary").hexdigest()}}
    ).mount
    assert mount.fetch_goofys(tmp_path / "goofys", good) and not mount.fetch_goofys(tmp_path / "goofys", good)


def test_the_guard_covers_workers_of_any_name_and_goes_when_services_change(server):
    context = server.context()
    context.settings = parse({"host": {"media_store": str(server.store)}, "mount": {"program": "rclone"}})
    mount.install(context)
    folders = {path.parent.name for path in server.places.units.glob("*.d/matrix-media-store.conf")}
    assert "matrix-synapse.service.d" in folders and "matrix-synapse-worker-.service.d" in folders
    host = {"media_store": str(server.store), "services": ["x.service"]}
    context.settings = parse({"host": host, "mount": {"program": "rclone"}})
    mount.install(context)
    assert {p.parent.name for p in server.places.units.glob("*.d/matrix-media-store.conf")} == {"x.service.d"}
    services.remove_guard(context)
    assert not list(server.places.units.glob("*.d"))


@pytest.mark.parametrize(
    ("serving", "mounted", "exists", "free"),
    [
        ("local", False, True, True),
        ("local", True, True, False),
        ("local", False, False, False),
        ("bucket", True, True, True),
        ("bucket", False, True, False),
        ("none", False, True, False),
        ("none", True, True, False),
    ],
)
def test_the_homeserver_never_starts_over_a_store_that_is_not_there(server, serving, mounted, exists, free):
    journal = Journal(serving=serving)
    if mounted:
        server.system.mounts.add(server.store)
    if not exists:
        server.store.rmdir()
    assert (guard.reason_to_wait(server.context(), journal) == "") is free


@pytest.mark.parametrize(
    ("serving", "unit", "trouble", "starts"),
    [
        ("bucket", True, os.strerror(errno.EIO), True),
        ("bucket", True, "no answer within 20 s", True),
        ("bucket", True, os.strerror(errno.ENOTCONN), False),
        ("bucket", True, answers.NOT_MOUNTED, False),
        ("bucket", False, os.strerror(errno.EIO), False),  # it never answered since it was started
        ("none", True, os.strerror(errno.EIO), False),
    ],
)
def test_a_store_that_is_away_does_not_keep_the_homeserver_down_while_its_mount_stands(
    server, monkeypatch, serving, unit, trouble, starts
):
    if unit:
        server.system.active.add(MOUNT_UNIT)
    monkeypatch.setattr(answers, "trouble", lambda *_: trouble)
    assert guard.merely_silent(server.context(), Journal(serving=serving)) is starts


@pytest.mark.parametrize(
    ("path", "media"),
    [
        ("local_content/aa/bb/rest", (None, "aabbrest")),
        ("local_thumbnails/aa/bb/rest/32-32-image-png-crop", (None, "aabbrest")),
        ("remote_content/[::1]:8448/aa/bb/rest", ("[::1]:8448", "aabbrest")),
        ("remote_thumbnail/example.org/aa/bb/rest/32-32-image-png-crop", ("example.org", "aabbrest")),
        ("local_content/aa/bb/x' OR '1'='1", None),
        ("remote_content/e'); DROP/aa/bb/rest", None),
        ("homeserver.db", None),
        ("local_content/aa", None),
    ],
)
def test_a_files_media_is_known_by_its_path_or_not_at_all(path, media):
    assert media_tables.media_of(path) == media


def database(path: Path, known: list[str]) -> str:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE local_media_repository (media_id TEXT)")
        db.execute("CREATE TABLE remote_media_cache (media_origin TEXT, filesystem_id TEXT)")
        db.executemany("INSERT INTO local_media_repository VALUES (?)", [(name,) for name in known])
        db.execute("INSERT INTO remote_media_cache VALUES ('example.org', 'aabbkept')")
    return f"sqlite:{path}"


def test_purged_is_what_synapses_own_tables_no_longer_know(server, tmp_path, monkeypatch):
    where = database(tmp_path / "db", ["aabbkept", "ccddthere"])
    monkeypatch.setattr(media_tables, "database", lambda context: where)
    paths = [
        "local_content/aa/bb/kept", "local_content/aa/bb/purged", "local_thumbnails/aa/bb/purged/1-1-image-png-crop",
        "remote_content/example.org/aa/bb/kept", "remote_content/example.org/aa/bb/purged", "strange",
    ]  # fmt: skip
    gone = media_tables.purged(server.context(), paths, ["local_content/cc/dd/there"])
    assert gone == {paths[1], paths[2], paths[4]}


def test_a_database_that_does_not_know_what_is_there_is_not_believed(server, tmp_path, monkeypatch):
    where = database(tmp_path / "old", [])
    monkeypatch.setattr(media_tables, "database", lambda context: where)
    assert media_tables.purged(server.context(), ["local_content/aa/bb/x"], ["local_content/cc/dd/there"]) == set()
    monkeypatch.setattr(media_tables, "database", lambda context: f"sqlite:{tmp_path}/missing")
    assert media_tables.purged(server.context(), ["local_content/aa/bb/x"], ["local_content/cc/dd/there"]) == set()


def test_settings_of_another_version_are_refused_by_name():
    for document, name in (
        ({"hots": {}}, "hots"),
        ({"host": {"x": 1}}, "host.x"),
        ({"store": {"bucket": 1}}, "store.bucket"),
    ):
        with pytest.raises(Problem, match=name):
            parse(document)
    assert merge({"a": {"x": 1, "y": 1}}, {"a": {"y": 2}, "b": {}}) == {"a": {"x": 1, "y": 2}, "b": {}}
    assert "KEY" not in repr(STORE)


def test_a_second_run_is_refused_while_one_holds_the_lock(tmp_path):
    places = Places(tmp_path)
    with locked(places), pytest.raises(Problem, match="another run"), locked(places, wait=0.2):
        raise AssertionError("two runs at once")


def test_a_file_is_replaced_whole_with_the_mode_given(tmp_path):
    path = tmp_path / "f"
    assert write_atomic(path, b"1", 0o600) and not write_atomic(path, b"1", 0o600)
    assert write_atomic(path, b"1", 0o644) and path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["f"]


def test_a_check_that_hangs_or_fails_in_another_users_place_is_bounded_and_told():
    system = System()
    assert system.as_user(os.getuid(), os.getgid(), lambda: ["a", 1]) == ["a", 1]
    with pytest.raises(OSError, match="No such file"):
        system.as_user(0, 0, lambda: os.stat("/no/such/file"))
    with pytest.raises(TimeoutError):
        system.as_user(0, 0, lambda: __import__("time").sleep(60), timeout=0.2)


def test_mount_points_are_found_through_linked_folders(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("/proc/..")
    assert System().mounted(Path("/proc")) and System().mounted(link / "proc")
    assert not System().mounted(tmp_path)


@pytest.mark.parametrize(
    ("milliseconds", "free", "files"),
    [(0, 8 << 30, 32), (20, 8 << 30, 52), (80, 8 << 30, 112), (400, 8 << 30, 128), (80, 400 << 20, 50), (80, 0, 4)],
)
def test_the_further_the_store_the_more_files_at_once_as_far_as_memory_goes(milliseconds, free, files):
    assert pace.fitting(milliseconds / 1000, free) == files


def test_the_stacks_own_number_counts_and_a_store_is_asked_once_even_if_it_is_away(server, monkeypatch):
    context = server.context()
    monkeypatch.setattr(pace, "free_memory", lambda: 8 << 30)
    monkeypatch.setattr(server.bucket, "round_trip", lambda: (_ for _ in ()).throw(OSError("away")), raising=False)
    assert pace.at_once(context) == pace.NEAR
    context = server.context()
    monkeypatch.setattr(server.bucket, "round_trip", lambda: 0.05, raising=False)
    assert pace.at_once(context) == pace.at_once(context) == 82
    migration = dataclasses.replace(context.settings.migration, transfers=7)
    context.settings = dataclasses.replace(context.settings, migration=migration)
    assert pace.at_once(context) == 7
