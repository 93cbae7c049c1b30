"""What is written in the very moment in which the services stop: the kernel tells of it, or a later walk finds it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sandbox import server

from .world import BACKUP, STORE, Migration, on_disk, subset

DROP_IN = Path("/etc/systemd/system/matrix-synapse.service.d/late.conf")


@pytest.fixture
def mirrored(begin) -> Migration:
    migration = begin("window", thin=5)
    migration.up("mirror")
    return migration


def as_synapse_ends(command: str) -> None:
    on_disk(STORE.parent / "late.sh").write_text(command)
    drop_in = on_disk(DROP_IN)
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(f"[Service]\nExecStopPost=+/bin/sh {STORE.parent}/late.sh\n")
    server.ssh("systemctl daemon-reload")


def assert_all_in_bucket(migration: Migration) -> None:
    copy = on_disk(BACKUP)
    files = [path for path in copy.rglob("*") if path.is_file() and path.relative_to(copy).parts[0] != "url_cache"]
    wanted = {str(path.relative_to(copy)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert subset(wanted, migration.objects()) == []


def test_the_kernel_tells_what_came_changed_moved_and_went_as_the_services_stopped(mirrored):
    first, second, third, fourth = sorted(path for path in mirrored.before if path.startswith("local_content/"))[:4]
    as_synapse_ends(
        f"cd {STORE}; mkdir -p local_content/zz/zz; echo late > local_content/zz/zz/late; echo more >> {first}; "
        f"mv {second} local_content/zz/moved; rm {third}; rmdir $(dirname {third}); touch -d 2020-01-01 {fourth}\n"
    )
    output = mirrored.up("live")
    assert "the kernel tells what changes" in output and "without the kernel's word" not in output
    assert mirrored.verdict()["window_files"] == 4
    assert_all_in_bucket(mirrored)
    assert not {second, third} & mirrored.objects().keys()


def test_what_was_written_through_a_hard_link_outside_the_store_is_sent_after_the_window(mirrored):
    path = next(path for path in mirrored.before if path.startswith("local_content/"))
    link = STORE.with_name("a-link-of-somebodys")
    server.ssh(f"ln '{STORE}/{path}' {link}")
    as_synapse_ends(f"echo unseen >> {link}\n")
    output = mirrored.up("live")
    assert mirrored.verdict()["window_files"] == 0
    assert "1 files changed without the kernel's word; sending them now" in output
    assert_all_in_bucket(mirrored)
