"""What is written in the very moment in which the services stop: the kernel tells of it, or a walk finds it."""

from __future__ import annotations

import pytest

from sandbox import server, synapse

from .world import BACKUP, STORE, Begin, Migration, mounted, on_disk, subset, synapse_runs


@pytest.fixture
def mirrored(begin: Begin) -> Migration:
    migration = begin("window", thin=5)
    migration.stack.set("cutover.method", "restart")
    migration.up("mirror")
    return migration


def as_synapse_ends(command: str) -> None:
    on_disk(STORE.parent / "late.sh").write_text(command)
    synapse.as_it_ends(f"+/bin/sh {STORE.parent}/late.sh")


def assert_all_in_bucket(migration: Migration) -> None:
    assert subset(synapse.tree(on_disk(BACKUP)), migration.objects()) == []


def test_the_kernel_tells_what_came_changed_moved_and_went_as_the_services_stopped(mirrored: Migration) -> None:
    first, second, third, fourth = sorted(path for path in mirrored.before if path.startswith("local_content/"))[:4]
    as_synapse_ends(
        f"cd {STORE}; mkdir -p local_content/zz/zz; echo late > local_content/zz/zz/late; echo more >> {first}; "
        f"mv {second} local_content/zz/moved; rm {third}; rmdir $(dirname {third}); touch -d 2020-01-01 {fourth}\n"
    )
    output = mirrored.up("live")
    assert "the kernel tells what changes" in output and "of the local copy are not in the bucket" not in output
    assert mirrored.verdict()["window_files"] == 4
    assert_all_in_bucket(mirrored)
    assert {second, third} <= mirrored.objects().keys(), "Synapse did not purge them"


def test_a_store_with_hard_links_is_walked_since_nobody_tells_of_what_comes_by_another_name(
    mirrored: Migration,
) -> None:
    path = next(path for path in mirrored.before if path.startswith("local_content/"))
    link = STORE.with_name("a-link-of-somebodys")
    server.ssh(f"ln '{STORE}/{path}' {link}")
    as_synapse_ends(f"echo unseen >> {link}\n")
    output = mirrored.up("live")
    assert "1 files have hard links" in output and "what changes is found by a walk" in output
    assert mirrored.verdict()["window_files"] == 1
    assert_all_in_bucket(mirrored)


def test_what_nobody_told_of_is_found_after_the_window_and_up_succeeds_once_it_is_in_the_bucket(
    mirrored: Migration,
) -> None:
    path = next(path for path in mirrored.before if path.startswith("local_content/"))
    link = STORE.with_name("a-link-of-somebodys")
    as_synapse_ends(f"ln '{STORE}/{path}' {link}; echo unseen >> {link}\n")
    refused = mirrored.try_up("live")
    assert refused.status != 0 and "1 files of the local copy are not in the bucket" in refused.output
    assert path in refused.output and "the bucket serves" in refused.output
    assert synapse_runs() and mounted(STORE)
    server.ssh(f"runuser -u matrix -- cp '{BACKUP}/{path}' '{STORE}/{path}'")
    mirrored.up("live")
    assert_all_in_bucket(mirrored)
