"""Each check before anything changes says in one line what is wrong and how to mend it."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.model.errors import Problem, Problems, StoreError, StoreUnavailable
from agent.model.items import Object
from agent.model.layout import PLAYBOOK_UNIT
from agent.model.phases import Phase, Side
from agent.setup import local_store, preflight

from .conftest import Machine
from .fakes import SYNAPSE
from .moves import FILES, fill, go


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def failing(check: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(Problem) as caught:
        check(*arguments)
    assert " -- " in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("printed", "told"), [("3 8 10\n", "is 3.8.10,"), ("", "is missing,")])
def test_the_python_that_the_units_run_is_looked_at_whichever_the_session_finds(
    server: Machine, monkeypatch: pytest.MonkeyPatch, printed: str, told: str
) -> None:
    """Review, entry 17."""
    run: list[list[str]] = []

    def python(argv: list[str], **_: object) -> str:
        run.append(argv)
        return printed

    monkeypatch.setattr(server.system, "run", python)
    text = failing(preflight.check_python, server.system)
    assert f"/usr/bin/python3 on the server {told} and 3.9 or newer is needed there" in text
    assert run[0][0] == "/usr/bin/python3"
    monkeypatch.setattr(server.system, "run", lambda argv, **_: "3 9 2\n")
    preflight.check_python(server.system)


def test_the_servers_own_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "sudo without password" in failing(preflight.check_root)
    monkeypatch.setattr(Path, "is_dir", lambda self: False)
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert "systemd" in failing(preflight.check_systemd)
    assert "modprobe fuse" in failing(preflight.check_fuse)


def test_the_media_store(server: Machine) -> None:
    server.backup.mkdir()
    assert "exists already" in failing(local_store.check_media_store, server.agent)
    server.backup.rmdir()
    server.system.mounts.add(server.store)
    assert "something (fuse) is mounted" in failing(local_store.check_media_store, server.agent)
    (server.layout.units / PLAYBOOK_UNIT).touch()
    assert "set host.adoptMount to true and phase to clean" in failing(local_store.check_media_store, server.agent)
    (server.layout.units / PLAYBOOK_UNIT).unlink()
    server.system.mounts.clear()
    server.store.rmdir()
    assert "host.mediaStore" in failing(local_store.check_media_store, server.agent)
    server.store.mkdir()
    os.chown(server.store, 0, 0)
    assert "belongs to root" in failing(local_store.check_media_store, server.agent)


def test_free_space(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100 << 20))
    assert "100 MiB are free" in failing(preflight.check_space, server.agent)


@pytest.mark.parametrize(("minutes", "fine"), [(0, True), (-4, True), (6, False), (-10, False)])
def test_the_clocks_agree_within_five_minutes(
    server: Machine, monkeypatch: pytest.MonkeyPatch, minutes: int, fine: bool
) -> None:
    monkeypatch.setattr(server.bucket, "date", lambda: now() + datetime.timedelta(minutes=minutes))
    if fine:
        preflight.check_bucket(server.agent, server.said.append)
    else:
        assert "timedatectl" in failing(preflight.check_bucket, server.agent, server.said.append)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (StoreError(404, "NoSuchBucket", ""), "create it, or correct store.bucket"),
        (StoreError(403, "InvalidAccessKeyId", ""), "check store.accessKeyId"),
        (StoreError(400, "AuthorizationHeaderMalformed", ""), "store.region"),
        (StoreUnavailable("https://store.test does not answer: timed out"), "DNS, firewall and CA certificates"),
        (OSError("no route to host"), "DNS, firewall and CA certificates"),
    ],
)
def test_the_bucket_answers_to_these_credentials(
    server: Machine, monkeypatch: pytest.MonkeyPatch, error: Exception, remedy: str
) -> None:
    monkeypatch.setattr(server.bucket, "date", now)

    def refuse(**options: object) -> None:
        raise error

    monkeypatch.setattr(server.bucket, "list", refuse)
    assert remedy in failing(preflight.check_bucket, server.agent, server.said.append)


def test_all_failures_are_told_together(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise Problem(name, "mend it")

    monkeypatch.setattr(preflight, "all_checks", lambda run: [lambda: fail("one"), lambda: None, lambda: fail("two")])
    with pytest.raises(Problems) as caught:
        preflight.check(server.run())
    assert [problem.what for problem in caught.value.problems] == ["one", "two"]


def test_a_store_that_lives_in_the_bucket_is_rightly_a_mount(server: Machine) -> None:
    fill(server)
    go(server, "live")
    # Without a FUSE device nothing is mounted, but the media can still come home.
    assert preflight.check_fuse not in preflight.all_checks(server.run())
    assert preflight.check_root in preflight.all_checks(server.run())


def test_a_preview_runs_the_checks_that_change_nothing(server: Machine) -> None:
    """Review, entry 49: a wrong key, a missing bucket or a silent homeserver previewed clean."""
    server.hold(Phase.LOCAL, Side.LOCAL)
    before = sorted(server.root.rglob("*"))
    server.bucket.list = refusing(StoreError(403, "InvalidAccessKeyId", "list", "no such key"))  # type: ignore[method-assign]
    server.homeserver.trouble = lambda: "status 404 Not Found"  # type: ignore[method-assign]
    found = [str(problem) for problem in preflight.problems(preflight.read_only_checks(server.run()))]
    assert any("answers 403 InvalidAccessKeyId (no such key) -- check store.accessKeyId" in line for line in found)
    assert any("status 404 Not Found" in line for line in found)
    assert sorted(server.root.rglob("*")) == before
    server.tell(store={"endpoint": ""})
    found = [str(problem) for problem in preflight.problems(preflight.read_only_checks(server.run()))]
    assert not any("InvalidAccessKeyId" in line for line in found), "a bucket that is not made yet is not asked"


def refusing(error: Exception) -> Callable[..., Iterator[Object]]:
    def refuse(*_: object, **__: object) -> Iterator[Object]:
        raise error

    return refuse


def test_a_way_back_without_enough_disk_is_refused_before_anything_stops(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "clean")
    server.system.log.clear()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3))
    with pytest.raises(Problem, match="must come back from the bucket"):
        go(server, "prepare")
    assert f"stop {SYNAPSE}" not in server.system.log
    assert server.journal.serving is Side.BUCKET
    assert server.bucket.objects == FILES
