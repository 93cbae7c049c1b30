"""Moves that meet something else: a stack that is destroyed after two, one that lost its state, two at once."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess

import pytest

from sandbox import b2, stacks, store, synapse

from .test_move import Place, add_aws, add_b2, add_existing
from .world import STORE, Begin, Migration, hash_on_server, journal, operate, server_processes, subset, wait_for

#: Slow enough that a stream is under way for a while: bytes a second, and the size of an upload that takes long then.
SLOW, LARGE = "2M", 40_000_000


def is_copying() -> bool:
    return bool(server_processes(r"rclone\S* copy"))


def uploaded(migration: Migration, size: int = 20_000) -> None:
    """One more upload, which may not be lost."""
    item = migration.upload(size)
    migration.before[item.key] = item.sha256


def begin_to_move(migration: Migration, to: Place) -> subprocess.Popen[str]:
    """`pulumi up` that moves the media there, and is at copying now."""
    migration.stack.set("copy.bandwidth", SLOW)
    migration.stack.set("serve", to.name)
    up = migration.stack.popen(
        "up", "--yes", "--skip-preview", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    wait_for(is_copying)
    return up


def assert_serve_from(migration: Migration, place: Place) -> None:
    assert subset(migration.before, place.objects()) == []
    assert subset(migration.before, hash_on_server(STORE)) == []
    migration.assert_serves()


@pytest.mark.nightly
def test_a_stack_that_moved_twice_is_destroyed_and_only_what_was_compared_goes(begin: Begin) -> None:
    migration = begin("moved-twice", stacks.at_aws, kind="docker", thin=20)
    stack = migration.stack
    stack.set("store.onDestroy", "delete")
    migration.up("clean")
    there = add_b2(stack, "there", "test-moved-twice-there")
    stack.set("stores.there.onDestroy", "delete")
    for name in ("there", "store"):
        done = operate(migration, "move", "--to", name, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        uploaded(migration)
    assert_serve_from(migration, Place("", migration.bucket))

    # Nobody compared this one: it came to the bucket that was left after that.
    stranger = "local_content/st/ra/nger"
    store.client().put_object(Bucket=there.bucket, Key=stranger, Body=b"somebody's")
    held = there.objects(), migration.objects()
    refused = stack.call("destroy", "--yes", "--skip-preview")
    assert refused.status != 0 and stranger in refused.output, refused.output
    assert (there.objects(), migration.objects()) == held
    migration.assert_serves()
    store.client().delete_object(Bucket=there.bucket, Key=stranger)
    stack.must("destroy", "--yes", "--skip-preview")
    assert not store.exists(migration.bucket)
    assert there.bucket not in [bucket.name for bucket in b2.api().list_buckets()]
    migration.assert_serves_locally()


@pytest.mark.nightly
@pytest.mark.parametrize("serve", ["second", "store"])
def test_the_stacks_state_is_lost_in_the_middle_of_a_move(begin: Begin, serve: str) -> None:
    migration = begin(f"state-lost-{serve}", stacks.at_aws, kind="docker", thin=20)
    stack = migration.stack
    migration.up("live")
    key = base64.b64encode(os.urandom(32)).decode()
    second = add_aws(stack, "second", f"test-state-lost-{serve}-second", key)  # the key makes it a stream
    uploaded(migration, LARGE)
    up = begin_to_move(migration, second)
    stack.kill(up)
    up.communicate()
    shutil.rmtree(stack.backend)
    stack.backend.mkdir(parents=True)
    subprocess.run(
        ["pulumi", "stack", "init", stack.name, "--non-interactive"], cwd=stack.root, env=stack.env, check=True
    )
    uploaded(migration)
    stack.set("copy.bandwidth", "")
    stack.set("serve", serve)
    for name in ("store", "stores.second"):
        stack.set(f"{name}.adopt", "true")
    migration.up("live")
    assert_serve_from(migration, second if serve == "second" else Place("", migration.bucket))
    migration.up("prepare")
    migration.assert_serves_locally()
    assert synapse.tree().items() >= migration.before.items()


@pytest.mark.nightly
def test_of_two_moves_at_once_the_second_waits_or_ends_the_first(begin: Begin) -> None:
    migration = begin("two-moves", kind="docker", thin=20)
    stack = migration.stack
    migration.up("live")
    second = add_b2(stack, "second", "test-two-moves-second")
    third = add_existing(stack, "third", "test-two-moves-third")
    uploaded(migration, LARGE)
    first = begin_to_move(migration, second)
    # The same stack from another machine meets the engine's own lock.
    refused = stack.call("up", "--yes", "--skip-preview")
    assert refused.status != 0 and "pulumi cancel" in refused.output, refused.output
    assert is_copying() and journal()["serving"] == "bucket"
    # Whoever breaks the lock and wants another store ends the move that is under way.
    stack.must("cancel", "--yes")
    stack.set("serve", "third")
    stack.set("copy.bandwidth", "")
    output = stack.must("up", "--yes", "--skip-preview")
    first.communicate(timeout=300)
    assert_serve_from(migration, third)
    assert "move" in output
    migration.up("prepare")
    migration.assert_serves_locally()
