"""One reader far from the store, on the machine itself: a container's calls into a mount take twice as long.

The commands are those that the program laid on the server, with paths of this machine.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.model.layout import MOUNT_UNIT
from sandbox import server, store
from sandbox.caches import drop_caches
from sandbox.world import CERTIFICATES

from .distance import far_away
from .ground import Ground

MOUNTS = {"goofys": ("goofys", ""), "rclone with a cache": ("rclone", "5G")}
UNIT = Path("/etc/systemd/system") / MOUNT_UNIT
#: The homeserver's user, whose files the mounts show.
READER = server.MATRIX_ID
KEYS = {"AWS_ACCESS_KEY_ID": store.ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": store.SECRET_ACCESS_KEY}
Record = dict[str, Any]


def outside(files: int, count: int, latency: int, repetitions: int) -> Record:
    """Files a second by mount: the first time, with an empty cache, and once the machine's memory was dropped."""
    rates: dict[str, dict[str, list[float]]] = {}
    with far_away(latency) as endpoint:
        ground = Ground.lay(files, endpoint)
        commands = {}
        for name, (program, cache) in MOUNTS.items():
            ground.stack.set("mount.program", program)
            ground.stack.set("mount.cache", cache)
            ground.stack.phase("live")
            commands[name] = _command()
        server.down()
        for name, command in commands.items():
            rates[name] = {"first": [], "memory dropped": []}
            for _ in range(repetitions):
                with _mounted(command) as folder:
                    for found in rates[name].values():
                        drop_caches()
                        found.append(_read(folder, count))
            print(f"bench: {latency} ms, on the machine itself, {name}: {rates[name]}", flush=True)
    return {"files": files, "count": count, "latency_ms": latency, "rates": rates}


def _command() -> list[str]:
    """What the unit of the mount runs."""
    lines = server.on_disk(UNIT).read_text().splitlines()
    return shlex.split(next(line for line in lines if line.startswith("ExecStart=")).removeprefix("ExecStart="))


@contextlib.contextmanager
def _mounted(command: list[str]) -> Iterator[Path]:
    """The bucket at a folder of this machine, with a cache of its own that is empty."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        top.chmod(0o711)
        folder = top / "mount"
        folder.mkdir()
        argv = [_here(word, top, folder) for word in command]
        with subprocess.Popen(
            argv, env={**os.environ, **KEYS, "SSL_CERT_FILE": str(CERTIFICATES / "ca.crt")}
        ) as process:
            try:
                subprocess.run(
                    ["timeout", "60", "sh", "-c", f"until mountpoint -q {folder}; do sleep 0.1; done"], check=True
                )
                yield folder
            finally:
                subprocess.run(["umount", folder], check=False)
                process.terminate()
        shutil.rmtree(top / "cache", ignore_errors=True)


def _here(word: str, top: Path, folder: Path) -> str:
    """A word of the server's command as it is on this machine."""
    if word.endswith("/mounting"):
        return str(folder)
    if word.startswith("unix://"):
        return f"unix://{top}/socket"
    if word.startswith("/var/cache/"):
        return str(top / "cache")
    return str(server.on_disk(Path(word))) if word.startswith("/") else word


def _read(folder: Path, count: int) -> float:
    clients = Path(__file__).with_name("clients.py").read_text()  # its folder may be root's alone
    argv = ["/usr/bin/python3", "-", str(folder), "read", "1", str(count)]
    answer = subprocess.run(
        argv, input=clients, text=True, check=True, stdout=subprocess.PIPE, user=READER, group=READER, extra_groups=[]
    )
    return float(answer.stdout)
