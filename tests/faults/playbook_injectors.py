"""What the playbook does to the mount at a bad moment, and what goes wrong while it does."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from sandbox import server

from ..e2e.goofys import lines_of
from ..e2e.world import on_disk, run_playbook, server_processes
from .injectors import UNITS, kill_processes, power_lost
from .scene import MOMENTS, Scene, wait_for


def _run(told: Mapping[str, object] = MappingProxyType({}), version: str = "1") -> None:
    """A run; as people do, it is begun once more where systemd cancels its stop of a service that a window starts."""
    try:
        run_playbook(told, version=version)
    except RuntimeError as error:
        if "canceled" not in str(error):
            raise
        run_playbook(told, version=version)


def playbook_run(scene: Scene) -> None:
    """With a mount of the playbook's own name left from earlier, which it takes away."""
    unit = on_disk(UNITS / "matrix-goofys.service")
    unit.write_text("[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n")
    _run()


def playbook_run_with_its_mount(scene: Scene) -> None:
    """A run whose vars.yml has the lines of its own mount still, which it starts anew."""
    _run(lines_of(scene.migration))


def images_updated(scene: Scene) -> None:
    """A run that finds newer images: all containers are made anew."""
    _run(version="2")


def its_goofys_killed(scene: Scene) -> None:
    """The container of the playbook's mount, which serves."""
    playbook_takes_over(scene)
    assert wait_for(scene.services_run, 60)
    server.ssh("docker kill matrix-goofys.service")


def _agree_on_the_playbook(scene: Scene) -> dict[str, object]:
    stack = scene.migration.stack
    stack.set("mount.managedBy", "playbook")
    stack.must("up", "--yes", "--skip-preview")
    return scene.migration.playbook_lines()


def playbook_takes_over(scene: Scene) -> None:
    """Its own mount of the bucket comes in the place of ours, and is still there afterwards."""
    run_playbook(_agree_on_the_playbook(scene))


def playbook_takes_over_beneath(scene: Scene) -> None:
    """The homeserver runs on while the mounts change."""
    run_playbook(_agree_on_the_playbook(scene), services="start")


def _as_the_playbook_takes_over(scene: Scene, services: str, then: Callable[[], None]) -> None:
    """Once ours begins to give way; the playbook's run fails with what it started."""
    lines = _agree_on_the_playbook(scene)

    def play() -> None:
        with contextlib.suppress(RuntimeError):
            run_playbook(lines, services)

    thread = threading.Thread(target=play)
    thread.start()
    assert wait_for(lambda: server_processes(r"agent\.pyz give-way"), 60, every=0.002), "it never took over"
    then()
    thread.join()


def power_lost_as_the_playbook_takes_over(scene: Scene) -> None:
    """Ours is disabled, and the playbook's not mounted yet."""
    _as_the_playbook_takes_over(scene, "restart", lambda: power_lost(scene))


def killed_as_the_playbook_takes_over(scene: Scene) -> None:
    """What makes ours give way ends in the middle."""

    def kill() -> None:
        time.sleep(0.3)  # into its work
        kill_processes(r"agent\.pyz give-way")

    _as_the_playbook_takes_over(scene, "start", kill)


def playbook_told_wrongly(scene: Scene) -> None:
    """vars.yml with another secret key: ours serves on."""
    lines = _agree_on_the_playbook(scene)
    run_playbook({**lines, "matrix_s3_media_store_aws_secret_key": "another"})


def playbook_told_wrongly_later(scene: Scene) -> None:
    """After its mount took over."""
    lines = _agree_on_the_playbook(scene)
    run_playbook(lines)
    assert wait_for(scene.services_run, 60)
    run_playbook({**lines, "matrix_s3_media_store_custom_endpoint": "https://elsewhere.test"})


def playbooks_mount_starts_on_the_way_home(scene: Scene) -> None:
    """Its unit was laid and never started; now it is, over and over, while ours ends and the local store comes home."""
    run_playbook(_agree_on_the_playbook(scene), services="leave")
    home = threading.Event()

    def hammer() -> None:
        wait_for(MOMENTS["restore, delta"], 90, every=0.002)
        while not home.is_set():
            with contextlib.suppress(RuntimeError):
                server.ssh("systemctl start --no-block matrix-goofys.service")

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()

    def stop() -> None:
        home.set()
        for thread in threads:
            thread.join()

    scene.healing.append(stop)


def _strike(scene: Scene, moment: str, then: Callable[[], None]) -> None:
    """Later, at that moment."""

    def strike() -> None:
        assert wait_for(MOMENTS[moment], 90, every=0.002), f"{moment} never came"
        with contextlib.suppress(RuntimeError):  # a run of the playbook fails where what it starts is ended under it
            then()

    thread = threading.Thread(target=strike)
    thread.start()
    scene.healing.append(thread.join)


def power_lost_on_the_way_home_from_the_playbook(scene: Scene) -> None:
    """The boot must not mount the bucket over what came home."""
    playbook_takes_over(scene)
    _strike(scene, "restore, swapping", lambda: power_lost(scene))


def playbook_run_on_the_way_home_from_it(scene: Scene) -> None:
    """With its lines still: it starts the homeserver and its mount while the local store comes home."""
    lines = _agree_on_the_playbook(scene)
    run_playbook(lines)
    _strike(scene, "restore, delta", lambda: run_playbook(lines))


def ours_started_by_hand(scene: Scene) -> None:
    """While the playbook's mount serves."""
    playbook_takes_over(scene)
    assert wait_for(scene.services_run, 60)
    server.ssh("systemctl restart matrix-media-store.service")
