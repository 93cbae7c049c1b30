"""Stores with rules of their own: the media go there and come home, or `prepare` says in the store's words why not."""

from __future__ import annotations

import pytest

from sandbox import rules, server, store
from sandbox.engine import Stack
from sandbox.world import GOOGLES_HOST, HOST_ADDRESS

from .world import Begin, Migration


def at(migration: Migration, rule: str) -> None:
    """The stack's store is the one with that rule."""
    migration.stack.set("store.endpoint", rules.endpoint(rule))
    if rule == "google":
        migration.stack.set("store.region", "auto")
        # rclone puts the bucket into the address there, as Google takes it too.
        server.ssh(f"echo {HOST_ADDRESS} {migration.bucket}.{GOOGLES_HOST} >> /etc/hosts")


@pytest.mark.parametrize(
    "rule", ["google", "object lock", *(pytest.param(rule, marks=pytest.mark.nightly) for rule in ("acl", "slow"))]
)
def test_a_store_with_a_rule_of_its_own_is_served_forward_and_home(begin: Begin, rule: str) -> None:
    """Review, entries 20 to 22."""
    migration = begin(f"rule-{rule.replace(' ', '-')}", thin=8)
    at(migration, rule)
    with rules.running(rule) as seen:
        migration.up("live")
        migration.upload()
        migration.assert_serves_from_bucket()
        assert any(method == "PUT" for method, _ in seen.seen), "the server talks to this store"
        migration.up("clean")
        migration.up("prepare")
        migration.assert_serves_locally()
        migration.stack.must("destroy", "--yes", "--skip-preview")


def refused(stack: Stack) -> str:
    done = stack.call("up", "--yes", "--skip-preview")
    assert done.status != 0
    return " ".join(done.output.split())


def test_a_cap_that_is_reached_is_told_in_the_stores_words_before_anything_begins(begin: Begin) -> None:
    migration = begin("rule-cap", thin=5)
    at(migration, "cap")
    with rules.running("cap"):
        said = refused(migration.stack)
    assert "Transaction cap exceeded, see the Caps & Alerts page" in said and "do what the store says" in said
    migration.assert_serves_locally()


def test_a_store_whose_listings_are_late_is_told_before_anything_begins(begin: Begin) -> None:
    migration = begin("rule-late", thin=5)
    at(migration, "late")
    with rules.running("late"):
        said = refused(migration.stack)
    assert "does not show what was written 3 s ago" in said
    migration.assert_serves_locally()


def test_objects_in_an_archive_are_told_before_anything_begins(begin: Begin) -> None:
    """Review, entry 33."""
    migration = begin("rule-archive", thin=5)
    at(migration, "archive")
    store.client().put_object(Bucket=migration.bucket, Key="local_content/zz/zz/archived", Body=b"in the ice")
    with rules.running("archive"):
        said = refused(migration.stack)
    assert "1 objects of the media store are in an archive class" in said and "restore-object" in said
    migration.assert_serves_locally()
