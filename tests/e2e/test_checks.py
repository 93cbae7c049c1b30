"""Mistakes and bad surroundings: told in one line with the remedy, before anything changes."""

from __future__ import annotations

from pathlib import Path

from sandbox import server, store
from sandbox.plugins.command.resources import RESOURCES
from sandbox.world import HOST_KEY, SERVER_ADDRESS, SSH_KEY

from .world import STORE, Begin, on_disk, operate, synapse_runs, wait_for

OWN_FOLDERS = ("/etc/matrix-media-store", "/usr/local/lib/matrix-media-store")


def assert_untouched() -> None:
    for folder in OWN_FOLDERS:
        assert not on_disk(Path(folder)).exists()
    assert not list(on_disk(Path("/etc/systemd/system")).rglob("*matrix-media-store*"))


def test_a_wrong_configuration_fails_the_preview_with_every_problem_at_once(begin: Begin) -> None:
    migration = begin("wrong", thin=20)
    stack = migration.stack
    stack.set("phase", "lvie")
    stack.set("store.onDestroy", "nonsense")
    stack.must("config", "rm", "--path", "store.endpoint")
    stack.set("mount.goofysSha256", "not*base64")
    stack.set("server.hostKey", "ssh-ed25519 not*base64")
    result = stack.call("preview")
    assert result.status != 0
    for key, remedy in (
        ("phase:", "use prepare, mirror, live or clean"),
        ("store.onDestroy:", "use retain"),
        ("store.endpoint: is missing", "https://s3.example.com"),
        ("mount.goofysSha256:", "64 hexadecimal"),
        ("server.hostKey:", "ssh-keyscan"),
    ):
        (line,) = {line.strip() for line in result.output.splitlines() if line.strip().startswith(key)}
        assert remedy in line
    assert "Traceback" not in result.output
    assert_untouched()


def test_every_failed_check_of_the_server_is_told_at_once_and_nothing_was_changed(begin: Begin) -> None:
    migration = begin("checks", thin=20)
    stack = migration.stack
    stack.set_secret("store.secretAccessKey", "not-this-one")
    stack.set("host.homeserverUrl", "http://127.0.0.1:9")
    stack.set("host.mediaStore", "/matrix/synapse/storage/no-such-store")
    stack.set("host.services[0]", "no-such.service")
    result = migration.try_up("live")
    assert result.status != 0
    for what, fix in (
        ("answers 403 SignatureDoesNotMatch (The request signature", "most likely store.secretAccessKey is wrong"),
        ("the homeserver does not answer at http://127.0.0.1:9", "set host.homeserverUrl"),
        ("no-such-store is not a folder", "set host.mediaStore"),
        ("none of the services runs that write media (no-such.service)", "host.services"),
    ):
        line = next(line for line in result.output.splitlines() if what in line and line.strip().startswith("error:"))
        assert fix in line
    assert_untouched()


def test_a_missing_bucket_and_an_unreachable_store_have_their_own_words(begin: Begin) -> None:
    migration = begin("nobucket", thin=20)
    migration.stack.set("store.bucket", "no-such-bucket")
    result = migration.try_up("prepare")
    assert "404 NoSuchBucket (The specified bucket does not exist) -- create it, or" in result.output
    migration.stack.set("store.endpoint", "https://127.0.0.1:9")
    result = migration.try_up("prepare")
    assert "https://127.0.0.1:9 cannot be reached from the server" in result.output
    assert_untouched()


def test_a_store_that_is_a_mount_already_is_refused(begin: Begin) -> None:
    migration = begin("mounted", thin=20)
    server.ssh(f"/opt/rclone/rclone mount :memory: {STORE} --daemon --allow-non-empty")
    result = migration.try_up("prepare")
    assert result.status != 0 and "something (fuse.rclone) is mounted at" in result.output, result.output
    assert_untouched()


def test_another_servers_bucket_is_refused(begin: Begin) -> None:
    migration = begin("owned", thin=20)
    body = b'{"server": "other", "id": "0123456789", "epoch": 1}'
    store.client().put_object(Bucket=migration.bucket, Key=".matrix-media-store/owner.json", Body=body)
    result = migration.try_up("mirror")
    assert result.status != 0 and "belongs to server other" in result.output and "store.adopt" in result.output
    assert [key for key in migration.objects() if not key.startswith(".")] == []
    migration.stack.set("store.adopt", "true")
    migration.up("mirror")


def test_an_unreachable_server_plans_with_the_last_known_state_and_refuses_to_act(begin: Begin) -> None:
    migration = begin("away", thin=20)
    migration.up("mirror")
    server.kill()
    preview = migration.stack.call("preview", "--diff")
    assert preview.status == 0 and "planning with the last known state" in preview.output
    assert "to update" not in preview.output
    fleet = operate(migration, "fleet")
    assert fleet.returncode == 2 and "FAIL: the server" in fleet.stdout, fleet.stdout + fleet.stderr
    result = migration.stack.call("up", "--yes", "--skip-preview")
    assert result.status != 0 and "cannot be reached" in result.output and "check server.host" in result.output
    server.up()
    wait_for(synapse_runs, seconds=60, every=0.5)
    migration.assert_serves_locally()


def test_another_host_key_is_refused(begin: Begin) -> None:
    migration = begin("hostkey", thin=20)
    other = SSH_KEY.with_suffix(".pub").read_text().split()
    migration.stack.set("server.hostKey", " ".join(other[:2]))
    result = migration.try_up("prepare")
    assert result.status != 0 and "Host key verification failed" in result.output
    assert_untouched()


def test_the_stand_in_copies_files_and_folders_as_the_published_plugin_does(begin: Begin, tmp_path: Path) -> None:
    begin("copies", thin=20)
    host_key = " ".join(HOST_KEY.with_suffix(".pub").read_text().split()[:2])
    connection = {
        "host": SERVER_ADDRESS, "port": 22, "user": "root", "privateKey": SSH_KEY.read_text(), "hostKey": host_key,
        "dialErrorLimit": 2, "perDialTimeout": 5,
    }  # fmt: skip
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/file").write_text("content")
    copy, single = RESOURCES["command:remote:CopyToRemote"], RESOURCES["command:remote:CopyFile"]
    copy.create({"connection": connection, "source": {"text": "text"}, "remotePath": "/tmp/new/folder/f"}, print)
    copy.create({"connection": connection, "source": {"path": str(tmp_path / "tree")}, "remotePath": "/tmp/a"}, print)
    copy.create({"connection": connection, "source": {"path": f"{tmp_path}/tree/"}, "remotePath": "/tmp/b"}, print)
    single.create(
        {"connection": connection, "localPath": str(tmp_path / "tree/sub/file"), "remotePath": "/tmp/c"}, print
    )
    assert (
        server.ssh("cat /tmp/new/folder/f /tmp/a/tree/sub/file /tmp/b/sub/file /tmp/c") == "textcontentcontentcontent"
    )
    command = RESOURCES["command:remote:Command"]
    lines: list[str] = []
    done = command.create({"connection": connection, "create": "cat; echo err >&2", "stdin": "in"}, lines.append)
    assert done == {"stdout": "in", "stderr": "err"} and sorted(lines) in (["err", "in"], ["inerr"], ["err\nin"])
