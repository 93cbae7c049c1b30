"""A bucket that holds other things too: they are neither read, nor moved, nor removed, whatever the stack does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox import rules, stacks, store, synapse

from .world import Begin, Migration

#: How many there are, and where: beside the media, and below names that begin like theirs.
COUNT, FOLDERS = 1000, ("backups", "local_contents", "matrix", "matrix/media2")


def add_foreign(bucket: str) -> None:
    def put(number: int) -> None:
        key = f"{FOLDERS[number % len(FOLDERS)]}/{number:04}"
        store.client().put_object(Bucket=bucket, Key=key, Body=f"foreign {number}".encode())

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(COUNT)))


def foreign(bucket: str) -> dict[str, Any]:
    """Content and time of each, by its key: written again, one has another time."""
    found = {}
    for page in store.client().get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", []):
            if item["Key"].rpartition("/")[0] in FOLDERS:
                found[item["Key"]] = (item["ETag"], item["LastModified"])
    return found


def objects(migration: Migration, prefix: str) -> set[str]:
    pages = store.client().get_paginator("list_objects_v2").paginate(Bucket=migration.bucket, Prefix=prefix)
    return {item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", [])}


@pytest.mark.parametrize("prefix", [pytest.param("", marks=pytest.mark.nightly), "matrix/media"])
def test_other_things_in_the_bucket_stay_as_they_are_forward_and_home(begin: Begin, prefix: str) -> None:
    """Review, entry 26."""
    migration = begin("foreign", thin=10)
    add_foreign(migration.bucket)
    before = foreign(migration.bucket)
    assert len(before) == COUNT
    migration.stack.set("store.endpoint", rules.ENDPOINT)
    if prefix:
        migration.stack.set("store.prefix", prefix)
    with rules.running("none") as seen:
        said = migration.up("live")
        assert ("1,000 objects in the bucket are no media" in said) == (not prefix)
        new = migration.upload()
        assert new.key in objects(migration, f"{prefix}/" if prefix else "")
        migration.up("clean")
        assert migration.differing() == []
        migration.up("prepare")
        migration.assert_serves_locally()
        assert not [
            path for path in synapse.tree() if path.partition("/")[0] in ("backups", "local_contents", "matrix")
        ]
        migration.stack.must("destroy", "--yes", "--skip-preview")
    touched = {path for method, path in seen.seen if any(f"/{folder}/0" in path for folder in FOLDERS)}
    assert touched == set() and foreign(migration.bucket) == before


@pytest.mark.nightly
def test_a_bucket_with_other_things_in_it_is_not_deleted(begin: Begin) -> None:
    migration = begin("foreign-delete", stacks.at_aws, thin=5)
    migration.stack.set("store.prefix", "matrix/media")
    migration.stack.set("store.onDestroy", "delete")
    migration.up("live")
    add_foreign(migration.bucket)
    before = foreign(migration.bucket)
    done = migration.stack.call("destroy", "--yes", "--skip-preview")
    said = " ".join(done.output.split())
    assert done.status != 0 and "which holds other things than the media store, 'backups/" in said
    assert foreign(migration.bucket) == before
    migration.assert_serves_locally()
