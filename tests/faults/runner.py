"""Runs a case and judges it: what was lost or changed, whether the services ran, what the next update did."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass
from typing import Any

from sandbox import relay, server, store, synapse
from sandbox.server import kinds

from ..e2e.owed import owed
from ..e2e.world import BACKUP, STORE, journal, mounted, on_disk, own_disk, stage
from .case import Case
from .scene import BACK, MOMENT, MOMENTS, SETTLE, STILL, Scene, wait_for


@dataclass
class Verdict:
    """`survived` where nothing was lost or changed, the services ran, and the next update completed."""

    case: str
    #: The kind of server that it ran on.
    server: str
    lost: int = 0
    changed: int = 0
    acknowledged: int = 0
    #: Whether the homeserver answered after the fault, before anybody did anything about it.
    services: bool = False
    phase: str = ""
    #: The window and its stage when the fault came.
    step: str = ""
    #: How the interrupted update ended, and the next one.
    interrupted: str = ""
    then: str = ""
    trouble: str = ""
    seconds: float = 0.0

    @property
    def survived(self) -> bool:
        return not (self.lost or self.changed or self.trouble) and self.services and self.then == "completed"

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "survived": self.survived}


def run_case(case: Case, trouble: relay.Relay) -> Verdict:
    """From a fresh server to the judgement."""
    verdict = Verdict(case.name, case.server or kinds.wanted().name)
    started = time.monotonic()
    trouble.turn(relay.Mode.WELL)
    own_key = case.fault.startswith("key revoked") or case.at.startswith("remount")
    settings = {"cutover.method": case.method, **({"mount.cache": "1G"} if case.cached else {})}
    scene = Scene.make(trouble, "none" if case.own_disk else case.start, own_key, case.server, settings)
    disk = own_disk(case.own_disk, case.disk_kind) if case.own_disk else contextlib.nullcontext()
    try:
        with disk:
            if case.own_disk:
                wait_for(scene.services_run, BACK)
                scene.migration.up(case.start)
            _play(case, scene, verdict)
    except Exception as error:  # whatever it is, it belongs to this case
        verdict.trouble = f"{type(error).__name__}: {error}"[-1500:]
    finally:
        scene.heal()
        if scene.engine and scene.engine.poll() is None:
            scene.kill_engine()
        server.kill()  # nothing may write into the bucket while it is removed
        scene.migration.stack.remove()
        for bucket in filter(None, (scene.migration.bucket, scene.left)):
            store.remove_bucket(bucket)
    verdict.seconds = round(time.monotonic() - started, 1)
    return verdict


def _play(case: Case, scene: Scene, verdict: Verdict) -> None:
    with scene.client.uploading():
        assert wait_for(lambda: scene.client.acknowledged, BACK), "the client could not upload"
        if case.before or case.at == "at rest":
            case.inject(scene)
        if case.at.startswith("remount"):
            scene.change_key()
        if "move" in case.at:
            scene.change_store()
        scene.begin_up(case.target)
        if not case.before and case.at != "at rest":
            moment = MOMENTS[case.at]
            assert wait_for(lambda: moment() or scene.ended(), MOMENT, every=0.002), f"{case.at} never came"
            assert not scene.ended(), f"the update ended before {case.at}: {scene.end_up() and scene.output[-800:]}"
            scene.step = stage()
            case.inject(scene)
            verdict.step = scene.step
            if case.at.endswith("held"):
                assert wait_for(scene.nothing_stands_still, STILL), f"something stands still for {STILL:.0f} s"
        if scene.engine_killed:
            verdict.interrupted = "killed"
        else:
            verdict.interrupted = "completed" if scene.end_up() == 0 else _last_error(scene.output)
        if not case.waits:
            verdict.services = wait_for(scene.services_run, BACK) and wait_for(scene.settled, SETTLE)
            verdict.phase = journal().get("phase", "local")
        scene.heal()
        back = wait_for(scene.settled, SETTLE) and wait_for(scene.services_run, BACK)
        if case.waits:
            verdict.services, verdict.phase = back, journal().get("phase", "local")
        verdict.then = scene.up_again(case.target)
        assert wait_for(scene.services_run, BACK), "the homeserver does not answer at the end"
    _compare(case, scene, verdict)


def _last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if "error:" in line and "update failed" not in line]
    return lines[-1][:300] if lines else output[-300:]


def _compare(case: Case, scene: Scene, verdict: Verdict) -> None:
    """Every file from before, and every upload that was acknowledged, against what is served now."""
    acknowledged = scene.client.acknowledged
    verdict.acknowledged = len(acknowledged)
    from_bucket = case.target in ("live", "clean")
    if case.cached:
        assert wait_for(lambda: owed() == 0, SETTLE), f"the cache owes the bucket {owed()} files in the end"
    assert mounted(STORE) == from_bucket, f"mounted: {not from_bucket} in the end"
    served = scene.migration.objects() if from_bucket else synapse.tree()
    wanted = {**scene.migration.before, **{item.key: item.sha256 for item in acknowledged}}
    verdict.lost = sum(path not in served for path in wanted)
    verdict.changed = sum(path in served and served[path] != digest for path, digest in wanted.items())
    differing = synapse.differing(scene.migration.token, [*scene.migration.media, *acknowledged])
    if differing:
        verdict.trouble = f"{len(differing)} uploads do not download byte for byte, {differing[0]} first"
    if case.target == "clean" and on_disk(BACKUP).exists():
        verdict.trouble = "the local copy is still there"
