"""What is measured. Each experiment returns plain data; `report` makes tables of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sandbox import server, synapse
from sandbox.caches import drop_caches
from sandbox.million import BODY
from sandbox.world import HOME, ROOT

from . import media
from .at_rest import at_rest
from .contenders import CONTENDERS, MANUAL, MOUNT, PROGRAM, goofys, manual, rsync
from .distance import far_away
from .felt import felt
from .ground import MEDIA_STORE, TOOLS, Ground, await_mount, converge, looking, on_server, seconds
from .held import held
from .moved import moved
from .noticed import noticed

Record = dict[str, Any]
#: A slow contender copies so many files; how long more would take is calculated from that.
SLOW_FILES = {0: 5000, 20: 200, 80: 60}
LATE = "/opt/late"
#: Where files are read and written: the program that mounts the bucket there, and its cache.
MOUNTS = {
    "local disk": ("", ""), "goofys": ("goofys", ""), "rclone": ("rclone", ""), "rclone with a cache": ("rclone", "5G"),
}  # fmt: skip


def say(text: str) -> None:
    print(f"bench: {text}", flush=True)


def first_copy(files: int, latency: int, repetitions: int) -> Record:
    """Everybody copies the same store into the same empty bucket, with cold caches, in alternating order."""
    memory: list[float] = []
    with far_away(latency) as endpoint:
        ground = Ground.lay(files, endpoint)
        others = [one for one in CONTENDERS if not one.slow and not (latency and one.few_at_once)]
        times: dict[str, list[float]] = {contender.name: [] for contender in others}
        for turn in range(repetitions):
            for contender in others if turn % 2 == 0 else reversed(others):
                ground.empty_bucket()
                with peak_memory(memory if contender.name == PROGRAM else []):
                    times[contender.name].append(seconds(lambda: contender.copy(ground)))  # noqa: B023
                assert ground.count() == files, f"{contender.name} copied {ground.count()} of {files} files"
                say(f"{files:,} files at {latency} ms: {contender.name}: {times[contender.name][-1]} s")
        size, part = ground.bytes, min(files, SLOW_FILES[latency])
        if part < files and latency not in _manual:
            ground = Ground.lay(part, endpoint)
        second: list[float] = []
        if latency not in _manual:
            _manual[latency] = _manually(ground, repetitions)
            second = _second_pass(ground, repetitions) if latency == 0 else []
    times[MANUAL] = [round(each * files / part, 1) for each in _manual[latency]]
    return {
        "files": files, "bytes": size, "latency_ms": latency, "seconds": times,
        "manual_measured_files": part, "program_memory_mb": max(memory),
        "manual_second_pass": second, "second_late": SECOND_LATE,
    }  # fmt: skip


#: What the manual procedure took at each latency, in seconds: once is enough, it takes minutes.
_manual: dict[int, list[float]] = {}
#: Files that come before its second rsync.
SECOND_LATE = 100


def _manually(ground: Ground, repetitions: int) -> list[float]:
    """The first rsync."""
    times = []
    for _ in range(repetitions):
        ground.empty_bucket()
        times.append(seconds(lambda: manual(ground)))
        say(f"{ground.files:,} files at {ground.endpoint}: {MANUAL}: {times[-1]} s")
    return times


def _second_pass(ground: Ground, repetitions: int) -> list[float]:
    """Its rsync in the window, after the first one and some late files."""
    times = []
    for turn in range(repetitions):
        _late_files(SECOND_LATE, turn)
        server.ssh("systemctl stop matrix-synapse")
        server.ssh(f"cp -a {LATE}/. {MEDIA_STORE}/")
        with goofys(ground.endpoint, MOUNT):
            times.append(seconds(rsync))
        server.ssh("systemctl start matrix-synapse")
        say(f"{ground.files:,} files, {SECOND_LATE} late, the second pass of {MANUAL}: {times[-1]} s")
    return times


def window(files: int, late: int, repetitions: int) -> Record:
    """The services stop, and just then so many files come that nobody saw before."""
    ground = Ground.lay(files, _near())
    ground.empty_bucket()
    converge("mirror")
    synapse.as_it_ends(f"-+/bin/cp -a {LATE}/. {MEDIA_STORE}/")
    found = []
    for turn in range(repetitions):
        _late_files(late, turn)
        verdict = converge("live")
        assert verdict["window_files"] == late, f"{verdict['window_files']} files in the window, not {late}"
        found.append({name: verdict[name] for name in ("window_seconds", "services_stopped_seconds")})
        say(f"{files:,} files, {late} late: {found[-1]}")
        shutil.rmtree(server.on_disk(Path(LATE)))
        converge("mirror")
    return {"files": files, "late": late, "windows": found}


def unchanged(files: int, repetitions: int) -> Record:
    """A mirror of a store in which nothing changed; then `pulumi up` and `pulumi preview` with nothing to do."""
    ground = Ground.lay(files, _near())
    ground.empty_bucket()
    converge("mirror")
    mirror = []
    for _ in range(repetitions):
        converge("prepare")
        drop_caches()
        ground.count()  # the store is somewhere else in the world, and its caches are its own
        mirror.append(seconds(lambda: converge("mirror")))
        say(f"{files:,} files, nothing new: mirror {mirror[-1]} s")
    ground.stack.phase("mirror")
    calls = {
        verb: [seconds(lambda: ground.stack.must(*words)) for _ in range(repetitions)]  # noqa: B023
        for verb, words in {"up": ("up", "--yes", "--skip-preview"), "preview": ("preview",)}.items()
    }
    say(f"nothing to do: {calls}")
    return {"files": files, "mirror": mirror, **calls}


def serving(files: int, count: int, latency: int = 0) -> Record:
    """Files a second through each mount and on local disk: first, again, with memory dropped before, and written."""
    rates: dict[str, dict[str, float]] = {}
    with far_away(latency) as endpoint:
        ground = Ground.lay(files, endpoint)
        ground.stack.phase("live")
        for name, (program, cache) in MOUNTS.items():
            folder = MEDIA_STORE if program else f"{MEDIA_STORE}-local-backup"
            if program:
                ground.stack.set("mount.program", program)
                ground.stack.set("mount.cache", cache)
                ground.stack.phase("live")
            rates[name] = {}
            for clients in (1, 8, 32):
                if program:
                    server.ssh("systemctl stop matrix-media-store; rm -rf /var/cache/matrix-media-store/*/vfs*")
                    server.ssh("systemctl start matrix-media-store")
                    await_mount(MEDIA_STORE)
                for what in ("read", "read again", "read, memory dropped", "write"):
                    if what in ("read", "read, memory dropped"):
                        drop_caches()
                    how = "write" if what == "write" else "read"
                    argv = ["python3", f"{TOOLS}/clients.py", folder, how, str(clients), str(count)]
                    rates[name][f"{what}, {clients}"] = float(on_server("runuser", "-u", "matrix", "--", *argv))
            say(f"serving at {latency} ms: {name}: {rates[name]}")
    return {"files": files, "count": count, "latency_ms": latency, "rates": rates}


def million(files: int) -> Record:
    """The agent alone over so many small files; what the store would answer is made up."""
    root = HOME / "bench" / f"tiny-{files}" / "media-store"
    done = root.with_name("done")
    if not done.exists():
        for path, _ in media.names(files, seed=files):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(BODY)
        done.touch()
    # A process of its own: its memory is then the agent's alone.
    answer = subprocess.check_output([sys.executable, "-m", "sandbox.million", root], cwd=ROOT, text=True)
    record: Record = {"files": files, **json.loads(answer.splitlines()[-1])}
    say(f"{files:,} files: {record}")
    return record


def _near() -> str:
    with far_away(0) as endpoint:
        return endpoint


def _late_files(count: int, turn: int) -> None:
    """Files that nobody saw before, as the homeserver's user owns them."""
    folder = server.on_disk(Path(LATE))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    media.lay(folder, count, seed=1000 + turn)


@contextlib.contextmanager
def peak_memory(into: list[float]) -> Iterator[None]:
    """The most that the agent and its rclone took together, in MB."""
    most = 0.0

    def look() -> None:
        nonlocal most
        most = max(most, sum(_resident(int(name)) for name in os.listdir("/proc") if name.isdigit()))

    try:
        with looking(look, 0.2):
            yield
    finally:
        into.append(round(most, 1))


def _resident(number: int) -> float:
    try:
        argv = Path(f"/proc/{number}/cmdline").read_bytes().decode(errors="replace")
        if "agent.pyz\0work" not in argv and not re.search("rclone[^\0]*\0copy", argv) or not server.owns(number):
            return 0
        status = Path(f"/proc/{number}/status").read_text()
    except OSError:
        return 0
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1000


#: By name; each call is one record of the results.
EXPERIMENTS: dict[str, list[Callable[[int], Record]]] = {
    "first_copy": [
        *(lambda n, latency=latency: first_copy(5000, latency, n) for latency in (0, 20, 80)),
        lambda n: first_copy(20_000, 0, n),
        lambda n: first_copy(100_000, 0, 1),
    ],
    "window": [
        *(lambda n, late=late: window(5000, late, n) for late in (10, 100, 1000)),
        lambda n: window(20_000, 100, n),
        lambda n: window(100_000, 100, n),
    ],
    "held": [lambda n: held(5000, n), lambda n: held(100_000, min(n, 3))],
    "noticed": [
        lambda n: noticed(5000, 0, n, by_hand=True),
        lambda n: noticed(5000, 20, n),
        lambda n: noticed(5000, 20, min(n, 3), cache="5G"),
        lambda n: noticed(100_000, 0, min(n, 3)),
    ],
    "moved": [*(lambda n, latency=latency: moved(20_000, latency, n) for latency in (0, 1, 20))],
    "unchanged": [lambda n: unchanged(100_000, n)],
    "felt": [*(lambda _, latency=latency: felt(1000, latency) for latency in (20, 80))],
    "serving": [*(lambda _, latency=latency: serving(5000, 600, latency) for latency in (0, 20))],
    "at_rest": [lambda _: at_rest(1_000_000, 20_000)],
    "million": [lambda n: million(1_000_000)],
}
