"""Servers that are not the one meant, disks that are too small, and settings that look like commands."""

from __future__ import annotations

from pathlib import Path

from sandbox import server, synapse
from sandbox.server import kinds
from sandbox.world import run

from .world import BACKUP, STORE, Begin, journal, mounted, on_disk, synapse_started


def test_a_changed_host_key_and_a_wrong_ssh_key_are_refused_with_clear_words(begin: Begin, tmp_path: Path) -> None:
    migration = begin("host-key", thin=5)
    right = migration.stack.must("config", "get", "--path", "server.hostKey").strip()
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other")
    other = (tmp_path / "other.pub").read_text().split()
    migration.stack.set("server.hostKey", " ".join(other[:2]))
    refused = migration.try_up("prepare")
    assert refused.status != 0 and "Host key verification failed" in refused.output
    assert "server.hostKey" in refused.output and "nothing was changed" in refused.output
    assert not on_disk(Path("/usr/local/lib/matrix-media-store")).exists()

    migration.stack.set("server.hostKey", right)
    migration.stack.set_secret("server.privateKey", (tmp_path / "other").read_text())
    refused = migration.try_up("prepare")
    assert refused.status != 0 and "Permission denied" in refused.output and "server.privateKey" in refused.output
    assert not on_disk(Path("/usr/local/lib/matrix-media-store")).exists()


def test_a_rebuilt_server_with_an_empty_disk_takes_over_its_bucket_only_when_told_to(begin: Begin) -> None:
    lost = begin("lost", kind="plain", thin=30)  # whose database is one file
    lost.up("clean")
    lost.upload()
    held = lost.objects()
    # Its database was restored from a backup; the media were in the bucket only.
    database = on_disk(STORE).parent / "homeserver.db"
    server.down()
    kept = lost.stack.backend.parent / "lost.db"
    run("cp", "--archive", database, kept)
    server.fresh(kind=kinds.current())
    run("cp", "--archive", kept, database)
    run("rm", "-r", on_disk(STORE))
    on_disk(STORE).mkdir(mode=0o750)
    server.own(on_disk(STORE))
    server.up()

    refused = lost.try_up("clean")
    assert refused.status != 0 and "belongs to server matrix-server" in refused.output
    assert "set store.adopt to true" in refused.output
    assert lost.objects() == held
    lost.stack.set("store.adopt", "true")
    lost.up("clean")
    assert mounted(STORE) and lost.differing() == []
    assert lost.objects().items() >= held.items()
    lost.up("prepare")
    assert lost.differing() == [] and not mounted(STORE)
    files = {key: digest for key, digest in held.items() if not key.endswith("/")}  # folders are marks in a bucket
    assert synapse.tree().items() >= files.items()


def test_a_restore_after_clean_with_too_little_disk_is_refused_before_anything_stops(begin: Begin) -> None:
    migration = begin("small-disk", thin=20)
    storage = on_disk(STORE).parent
    server.down()
    aside = storage.with_name("aside")
    run("cp", "--archive", storage, aside)
    run("mount", "-t", "tmpfs", "-o", "size=400M,mode=755", "tmpfs", storage)
    try:
        run("cp", "--archive", f"{aside}/.", storage)
        server.up()
        migration.up("clean")
        since = synapse_started()
        with open(storage / "filler", "wb") as file:
            file.truncate(0)
            file.write(b"\0" * (200 << 20))
        refused = migration.try_up("prepare")
        assert refused.status != 0 and "are free at" in refused.output and "nothing was stopped" in refused.output
        assert synapse_started() == since and mounted(STORE) and migration.differing() == []
        assert journal()["phase"] == "clean" and not on_disk(BACKUP).exists()
        (storage / "filler").unlink()
        migration.up("prepare")
        migration.assert_serves_locally()
    finally:
        server.kill()
        run("umount", storage)


def test_names_that_look_like_shell_commands_are_data(begin: Begin) -> None:
    trap = "$(touch /tmp/injected);`touch /tmp/injected`'\"; touch /tmp/injected #"
    migration = begin("injection", thin=5)
    storage = on_disk(STORE).parent
    odd = f"media {trap.replace('/', '_')}"
    server.down()
    (storage / "media-store").rename(storage / odd)
    config = storage.parent / "config/homeserver.yaml"
    quoted = odd.replace("'", "''")
    config.write_text(
        config.read_text().replace(
            "media_store_path: /matrix-media-store-parent/media-store",
            f"media_store_path: '/matrix-media-store-parent/{quoted}'",
        )
    )
    server.up()
    migration.stack.set("host.mediaStore", f"/matrix/synapse/storage/{odd}")
    migration.stack.set("migration.confirmed[0]", trap)
    migration.stack.set("copy.exclude[0]", odd)
    migration.up("live")
    assert migration.differing() == []
    migration.up("prepare")
    assert migration.differing() == [] and migration.before.items() <= synapse.tree(storage / odd).items()
    for place in (on_disk(Path("/tmp/injected")), Path("/tmp/injected")):
        assert not place.exists()
