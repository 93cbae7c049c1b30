"""The ground that all run on: one server, one store, one media store; what differs is who copies."""

from __future__ import annotations

import contextlib
import json
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import server, stacks, store, synapse
from sandbox.caches import drop_caches
from sandbox.engine import Stack
from sandbox.world import BIN, ROOT

from . import media

BUCKET = "bench"
MEDIA_STORE = f"/{synapse.STORE}"
AGENT = "/usr/local/lib/matrix-media-store/agent.pyz"
ENVIRONMENT, RCLONE_CONF, TOOLS = "/root/bench.env", "/root/bench-rclone.conf", "/opt/bench"
#: What the agent keeps in the bucket for itself stays when the media are removed.
OWN = ".matrix-media-store/"


@dataclass(frozen=True)
class Ground:
    """A server in phase prepare, with so many files in its media store, and a store behind `endpoint`."""

    stack: Stack
    endpoint: str
    files: int
    bytes: int

    @classmethod
    def lay(cls, files: int, endpoint: str) -> Ground:
        server.fresh()
        size = media.fill(files)
        equip(endpoint)
        server.up()
        # Else the store would be taken for one that Synapse does not use: none of its newest media is there.
        synapse.sql("DELETE FROM local_media_repository", "DELETE FROM local_media_repository_thumbnails")
        stack = stacks.existing("sandbox-bench", BUCKET, token=False)
        stack.set("cutover.method", "restart")  # files that come late are laid as the homeserver stops
        stack.set("store.endpoint", endpoint)
        stack.phase("prepare")
        return cls(stack, endpoint, files, size)

    def empty_bucket(self) -> None:
        """No media in the bucket, nothing of it remembered on the server, nothing in any cache."""
        converge("prepare")
        server.ssh("rm -f /var/lib/matrix-media-store/manifest.sqlite*")
        s3 = store.client()
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            keys = [{"Key": item["Key"]} for item in page.get("Contents", []) if not item["Key"].startswith(OWN)]
            if keys:
                s3.delete_objects(Bucket=BUCKET, Delete={"Objects": keys, "Quiet": True})
        drop_caches()

    def count(self) -> int:
        """Media in the bucket."""
        pages = store.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return sum(not item["Key"].startswith(OWN) for page in pages for item in page.get("Contents", []))


def equip(endpoint: str) -> None:
    """What the other programs need on the server: keys in files only root reads, and s5cmd."""
    environment = server.on_disk(Path(ENVIRONMENT))
    environment.write_text(
        f"AWS_ACCESS_KEY_ID={store.ACCESS_KEY_ID}\nAWS_SECRET_ACCESS_KEY={store.SECRET_ACCESS_KEY}\n"
        f"PYTHONPATH={AGENT}\n"
    )
    conf = server.on_disk(Path(RCLONE_CONF))
    conf.write_text(
        f"[bench]\ntype = s3\nprovider = Minio\nendpoint = {endpoint}\nregion = {store.REGION}\n"
        f"access_key_id = {store.ACCESS_KEY_ID}\nsecret_access_key = {store.SECRET_ACCESS_KEY}\n"
    )
    for file in (environment, conf):
        file.chmod(0o600)
    tools = server.on_disk(Path(TOOLS))
    tools.mkdir(parents=True, exist_ok=True)
    for tool in (BIN / "s5cmd", ROOT / "sandbox/loader.py", Path(__file__).with_name("clients.py")):
        (tools / tool.name).write_bytes(tool.read_bytes())
        (tools / tool.name).chmod(0o755)


def on_server(*argv: str, unit: str = "") -> str:
    """Run a program on the server with the keys in its environment; with `unit`, leave it running."""
    how = [f"--unit={unit}", "--property=Type=simple"] if unit else ["--wait", "--pipe"]
    return server.ssh(
        shlex.join(["systemd-run", "--quiet", "--collect", f"--property=EnvironmentFile={ENVIRONMENT}", *how, *argv])
    )


def await_mount(path: str) -> None:
    server.ssh(f"timeout 60 sh -c 'until mountpoint -q {path}; do sleep 0.1; done'")


def converge(phase: str) -> dict[str, Any]:
    """The agent's verdict; what `pulumi up` has it do."""
    verdict: dict[str, Any] = json.loads(server.ssh(f"python3 {AGENT} converge --phase {phase}").splitlines()[-1])
    return verdict


@contextlib.contextmanager
def looking(look: Callable[[], None], every: float) -> Iterator[None]:
    """Look again and again, each so many seconds, as long as the body runs."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(every):
            look()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def seconds(action: Any) -> float:
    """How long a call takes."""
    start = time.monotonic()
    action()
    return round(time.monotonic() - start, 2)
