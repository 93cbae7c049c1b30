"""Each check before anything changes says in one line what is wrong and how to mend it."""

from __future__ import annotations

import datetime
import os
import shutil
import sys
from types import SimpleNamespace

import pytest

from agent import preflight, restore
from agent.errors import Problem, Problems
from agent.journal import Journal
from agent.s3 import StoreError

from .conftest import SYNAPSE
from .test_transitions import FILES, fill, go

NOW = datetime.datetime.now(datetime.UTC)


def failing(check, *arguments) -> str:
    with pytest.raises(Problem) as caught:
        check(*arguments)
    assert " -- " in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_the_servers_own_parts(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 8, 10))
    assert "3.9 or newer" in failing(preflight.check_python)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "sudo without password" in failing(preflight.check_root)
    monkeypatch.setattr(preflight.Path, "is_dir", lambda self: False)
    monkeypatch.setattr(preflight.Path, "exists", lambda self: False)
    assert "systemd" in failing(preflight.check_systemd)
    assert "modprobe fuse" in failing(preflight.check_fuse)


def test_the_media_store(server):
    context = server.context()
    server.backup.mkdir()
    assert "exists already" in failing(preflight.check_media_store, context)
    server.backup.rmdir()
    server.system.mounts.add(server.store)
    assert "is a mount already" in failing(preflight.check_media_store, context)
    server.system.mounts.clear()
    server.store.rmdir()
    assert "host.mediaStore" in failing(preflight.check_media_store, context)
    server.store.mkdir()
    os.chown(server.store, 0, 0)
    assert "belongs to root" in failing(preflight.check_media_store, context)


def test_free_space(server, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100 << 20))
    assert "100 MiB are free" in failing(preflight.check_space, server.context())


@pytest.mark.parametrize(("minutes", "fine"), [(0, True), (-4, True), (6, False), (-10, False)])
def test_the_clocks_agree_within_five_minutes(server, minutes, fine):
    context = server.context()
    context.bucket.date = lambda: NOW + datetime.timedelta(minutes=minutes)
    if fine:
        preflight.check_bucket(context)
    else:
        assert "timedatectl" in failing(preflight.check_bucket, context)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (StoreError(404, "NoSuchBucket", ""), "create it, or correct store.bucket"),
        (StoreError(403, "InvalidAccessKeyId", ""), "check store.accessKeyId"),
        (StoreError(400, "AuthorizationHeaderMalformed", ""), "store.region"),
        (OSError("no route to host"), "DNS, firewall and CA certificates"),
    ],
)
def test_the_bucket_answers_to_these_credentials(server, error, remedy):
    context = server.context()
    context.bucket.date = lambda: NOW

    def refuse(**options):
        raise error

    context.bucket.list = refuse
    assert remedy in failing(preflight.check_bucket, context)


def test_all_failures_are_told_together(server, monkeypatch):
    def fail(name):
        raise Problem(name, "mend it")

    monkeypatch.setattr(
        preflight, "all_checks", lambda context: [lambda: fail("one"), lambda: None, lambda: fail("two")]
    )
    with pytest.raises(Problems) as caught:
        preflight.run(server.context())
    assert [problem.what for problem in caught.value.problems] == ["one", "two"]


def test_a_store_that_lives_in_the_bucket_is_rightly_a_mount(server):
    fill(server)
    go(server, "live")
    assert not [check for check in preflight.all_checks(server.context()) if check is preflight.check_media_store]
    # Without a FUSE device nothing is mounted, but the media can still come home.
    assert preflight.check_fuse not in preflight.all_checks(server.context())
    assert len(preflight.all_checks(server.context())) == 5


def test_a_way_back_without_enough_disk_is_refused_before_anything_stops(server, monkeypatch):
    fill(server)
    go(server, "clean")
    server.system.log.clear()
    monkeypatch.setattr(restore.shutil, "disk_usage", lambda path: SimpleNamespace(free=3))
    with pytest.raises(Problem, match="must come back from the bucket"):
        go(server, "prepare")
    assert f"stop {SYNAPSE}" not in server.system.log
    assert Journal.load(server.places).serving == "bucket"
    assert server.bucket.objects == FILES
