"""What Prometheus is told of the media store: right in every phase, and taken away with the setting."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import threading
import time
from pathlib import Path

import pytest

from agent.host.mounts import Mount
from agent.model.errors import Problem
from agent.model.layout import METRICS_TIMER, METRICS_UNIT
from agent.model.phases import Owed, Phase, Side, Stage, Window
from agent.serving import metrics
from agent.setup import drift, mount, preflight

from .caching import with_cache
from .conftest import Machine
from .moves import FILES, fill, go

SAMPLE = re.compile(r"matrix_media_store_(\w+)(?:\{(.*)\})? ([\d.e+-]+)")


@pytest.fixture
def folder(server: Machine, tmp_path: Path) -> Path:
    made = tmp_path / "collector"
    made.mkdir()
    server.tell(host={"metrics_folder": str(made), "stack": "prod"})
    return made


def told(server: Machine, folder: Path) -> dict[str, float]:
    """The values by name and labels, as the collector reads them."""
    metrics.write(server.agent, server.journal)
    (file,) = folder.iterdir()
    assert file.name == "matrix_media_store.prom" and file.stat().st_mode & 0o777 == 0o644
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    found = [SAMPLE.fullmatch(line) for line in lines]
    return {f"{match[1]}{{{match[2]}}}" if match[2] else match[1]: float(match[3]) for match in found if match}


def test_every_phase_is_told_with_who_serves_and_how_many_files_there_are(server: Machine, folder: Path) -> None:
    fill(server)
    for phase, from_bucket in (("mirror", False), ("live", True), ("clean", True), ("live", True), ("mirror", False)):
        go(server, phase)
        found = told(server, folder)
        phases = {name: value for name, value in found.items() if name.startswith("phase")}
        assert phases == {f'phase{{phase="{each}"}}': float(each == phase) for each in
                          ("local", "prepare", "mirror", "live", "clean")}  # fmt: skip
        assert found["bucket_serves"] == from_bucket and ("mount_healthy" in found) is from_bucket
        assert (found["settled"], found["window_open"], found["run_under_way"]) == (1, 0, 0)
        assert found["files"] == len(FILES) and found["bytes"] == sum(map(len, FILES.values()))
        assert time.time() - 60 < found["compared_timestamp_seconds"] <= time.time() + 1
        assert time.time() - 60 < found["written_timestamp_seconds"] <= time.time() + 1


def test_a_mount_that_is_dead_a_window_and_an_owed_proof_are_told(server: Machine, folder: Path) -> None:
    fill(server)
    go(server, "live")
    assert told(server, folder)["mount_healthy"] == 1
    server.system.mounts.clear()
    assert told(server, folder)["mount_healthy"] == 0
    server.hold(owed={Owed.PROOF})
    assert told(server, folder)["settled"] == 0
    server.hold(phase=Phase.MIRROR, serving=Side.LOCAL, window=(Window.CUTOVER, Stage.DELTA))
    found = told(server, folder)
    assert (found["window_open"], found["settled"]) == (1, 0)
    assert not {"mount_healthy", "bucket_serves"} & found.keys(), "one side takes the place of the other"


class Rclone(socketserver.StreamRequestHandler):
    """Answers as its remote control does, with one upload that failed three times and one that waits."""

    ANSWERS = {
        "/vfs/queue": {"queue": [{"size": 7, "tries": 3}, {"size": 5, "tries": 0}]},
        "/vfs/stats": {"diskCache": {"bytesUsed": 4096}},
    }

    def handle(self) -> None:
        path = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        assert self.rfile.read(2) == b"{}"  # what is left unread would end the connection with an error
        body = json.dumps(self.ANSWERS[path]).encode()
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def test_what_the_cache_owes_is_told_and_nothing_where_there_is_no_cache(
    server: Machine, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "live")
    assert not any(name.startswith("cache") for name in told(server, folder))
    with_cache(server, tmp_path / "cache")
    assert not any(name.startswith("cache") for name in told(server, folder)), "its program does not answer"
    monkeypatch.chdir(tmp_path)
    control = Path("rclone.sock")  # the path of a socket is short
    monkeypatch.setattr(type(server.layout), "remote_control", property(lambda layout: control))
    with socketserver.ThreadingUnixStreamServer(str(control), Rclone) as rclone:
        assert rclone.socket.family == socket.AF_UNIX
        threading.Thread(target=rclone.serve_forever, daemon=True).start()
        found = told(server, folder)
        rclone.shutdown()
    assert (found["cache_owed_files"], found["cache_owed_bytes"]) == (2, 12)
    assert (found["cache_failing_files"], found["cache_bytes"]) == (1, 4096)


def test_labels_are_escaped_as_prometheus_wants(server: Machine, folder: Path) -> None:
    server.tell(host={"stack": 'a"b\\c\nd'})
    metrics.write(server.agent, server.journal)
    assert 'stack="a\\"b\\\\c\\nd"' in (folder / metrics.FILE).read_text()


def test_another_folder_gets_the_file_and_the_first_keeps_none(server: Machine, folder: Path, tmp_path: Path) -> None:
    told(server, folder)
    (folder / "somebodys.prom").write_text("")
    other = tmp_path / "other"
    other.mkdir()
    server.tell(host={"metrics_folder": str(other)})
    told(server, other)
    assert [path.name for path in folder.iterdir()] == ["somebodys.prom"]


def lay(server: Machine) -> None:
    """As an update does."""
    mount.lay_files(server.agent, server.journal)
    metrics.settle(server.agent)


def test_a_first_install_that_fails_leaves_no_timer(
    server: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its units are taken back then, and a timer that was enabled would stay for good."""

    def refuse(run: object) -> None:
        raise Problem("the bucket refuses the key", "correct it")

    monkeypatch.setattr(mount, "_try", refuse)
    monkeypatch.setattr(preflight, "check", lambda run: None)
    monkeypatch.setattr(mount, "install_packages", lambda system, say: None)
    fill(server)
    with pytest.raises(Problem, match="refuses the key"):
        mount.install(server.run(), {name: {} for name in ("store", "mount")})
    assert not any(METRICS_TIMER in line for line in server.system.log)
    assert not (server.layout.units / METRICS_TIMER).exists()


def test_the_timer_runs_as_long_as_the_setting_says_so_and_goes_with_what_it_wrote(
    server: Machine, folder: Path
) -> None:
    lay(server)
    assert f"enable --now --quiet {METRICS_TIMER}" in server.system.log
    assert {METRICS_TIMER, METRICS_UNIT} <= {path.name for path in server.layout.units.iterdir()}
    told(server, folder)
    server.tell(host={"metrics_folder": ""})
    server.system.log.clear()
    lay(server)
    log = server.system.log
    assert log.index(f"disable --now --quiet {METRICS_TIMER}") < log.index(f"stop {METRICS_UNIT}"), "one may run now"
    assert not {METRICS_TIMER, METRICS_UNIT} & {path.name for path in server.layout.units.iterdir()}
    assert list(folder.iterdir()) == []


def test_a_run_of_the_timer_that_comes_late_writes_nothing_and_takes_away_what_is_there(
    server: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(server, folder)
    server.tell(host={"metrics_folder": ""})
    monkeypatch.chdir(folder)
    metrics.write(server.agent, server.journal)
    assert list(folder.iterdir()) == [] and not server.layout.metrics.exists()


def test_a_server_that_is_let_go_keeps_no_file(server: Machine, folder: Path) -> None:
    mount.lay_files(server.agent, server.journal)
    told(server, folder)
    mount.remove_files(server.agent)
    assert list(folder.iterdir()) == [] and not (server.layout.units / METRICS_TIMER).exists()


def test_a_folder_that_is_gone_since_keeps_nothing_else_from_happening(server: Machine, folder: Path) -> None:
    metrics.write(server.agent, server.journal)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    metrics.check(server.agent)
    with pytest.raises(Problem, match="no such folder"):
        metrics.write(server.agent, server.journal)


def test_a_folder_that_is_not_there_is_told_before_anything_changes_and_a_timer_that_stopped_is_drift(
    server: Machine, folder: Path
) -> None:
    folder.rmdir()
    (problem,) = [p for p in preflight.problems(preflight.read_only_checks(server.run())) if "metrics" in str(p)]
    assert "host.metricsFolder" in str(problem) and "make it" in str(problem)
    with pytest.raises(Problem, match=r"host\.metricsFolder"):
        metrics.write(server.agent, server.journal)
    folder.mkdir()
    journal = server.journal
    journal.note_agent("0" * 64)
    journal.note_repairs("")
    mount.lay_files(server.agent, journal)
    assert f"{METRICS_TIMER} does not run" in drift.differences(server.agent, journal, b"another agent")


def test_a_link_that_somebody_lays_in_the_folder_is_replaced_and_not_followed(server: Machine, folder: Path) -> None:
    victim = folder.parent / "victim"
    victim.write_text("untouched")
    for name in (metrics.FILE, f"{metrics.FILE}.new"):
        (folder / name).symlink_to(victim)
    told(server, folder)
    assert victim.read_text() == "untouched"


def test_how_many_requests_wait_for_the_mount_is_told_where_the_kernel_says_it(
    server: Machine, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    go(server, "live")
    (tmp_path / "connections/57").mkdir(parents=True)
    (tmp_path / "connections/57/waiting").write_text("12\n")
    mount = Mount("0:57", "/", str(server.store), "fuse", "bucket")
    monkeypatch.setattr(metrics, "topmost", lambda path: mount if path == server.store else None)
    assert "mount_requests_waiting" not in told(server, folder), "fusectl is not mounted in every container"
    monkeypatch.setattr(metrics, "CONNECTIONS", tmp_path / "connections")
    assert told(server, folder)["mount_requests_waiting"] == 12
