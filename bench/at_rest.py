"""What a mount takes in front of a bucket with very many objects: while nobody looks, and after many were looked at."""

from __future__ import annotations

import shutil
import time
from typing import Any

from sandbox import server, store
from sandbox.caches import drop_caches

from . import media
from .ground import BUCKET, MEDIA_STORE, TOOLS, Ground, await_mount, on_server, seconds

#: What mounts the bucket, and its cache.
MOUNTS = {"goofys": ("goofys", ""), "rclone": ("rclone", ""), "rclone with a cache": ("rclone", "20G")}
UNIT = "matrix-media-store"
#: Seconds for which nobody looks while requests are counted.
REST_SECONDS = 180
BODY = bytes(4096)
Record = dict[str, Any]


def at_rest(objects: int, looked: int) -> Record:
    """By mount: its memory, and requests an hour by kind, before and after so many were looked at; and mounted anew."""
    ground = Ground.lay(1000, store.ENDPOINT)
    ground.stack.phase("live")
    took = seconds(lambda: _fill(objects))
    print(f"bench: {objects:,} objects in the bucket after {took} s", flush=True)
    found: dict[str, Record] = {}
    for name, (program, cache) in MOUNTS.items():
        ground.stack.set("mount.program", program)
        ground.stack.set("mount.cache", cache)
        ground.stack.phase("live")
        mounted = _mount_anew("rm -rf /var/cache/matrix-media-store/*/vfs*")
        drop_caches()
        record: Record = {"mounted": mounted, "requests": _requests_an_hour(), "memory_mb": _memory()}
        argv = ["python3", f"{TOOLS}/clients.py", MEDIA_STORE, "read", "8", str(looked)]
        on_server("runuser", "-u", "matrix", "--", *argv)
        record |= {"memory_looked_mb": _memory(), "requests_looked": _requests_an_hour()}
        record["mounted_again"] = _mount_anew()
        found[name] = record
        print(f"bench: {objects:,} objects, {name}: {record}", flush=True)
    server.down()
    shutil.rmtree(store.DATA / BUCKET)  # to have the store delete them would take hours
    return {"objects": objects, "looked": looked, "mounts": found}


def _fill(objects: int) -> None:
    """Lay the objects in the store's own format, since to put them would take hours: each is another's copy."""
    store.client().put_object(Bucket=BUCKET, Key="local_content/aa/aa/first", Body=BODY)
    bucket = store.DATA / BUCKET
    content = (bucket / "local_content/aa/aa/first/xl.meta").read_bytes()
    for name, _ in media.names(objects, seed=objects):
        folder = bucket / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "xl.meta").write_bytes(content)
    listed = store.client().list_objects_v2(Bucket=BUCKET, Prefix="local_thumbnails/", MaxKeys=1000)
    assert listed["KeyCount"] == 1000, "the store does not see what was laid"


def _mount_anew(between: str = "true") -> float:
    """Seconds until a mount that was stopped is there again."""
    server.ssh(f"systemctl stop {UNIT}; {between}")
    began = time.monotonic()
    server.ssh(f"systemctl start {UNIT}")
    await_mount(MEDIA_STORE)
    return round(time.monotonic() - began, 1)


def _memory() -> float:
    """What the program that mounts has in memory, in MB."""
    number = server.ssh(f"systemctl show --property=MainPID --value {UNIT}").strip()
    lines = server.ssh(f"cat /proc/{number}/status").splitlines()
    return round(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000, 1)


def _requests_an_hour() -> dict[str, int]:
    """What the store was asked for by whatever runs on the server while nobody looked at media, by kind."""
    before = store.requests()
    time.sleep(REST_SECONDS)
    after = store.requests()
    return {
        kind: round((number - before.get(kind, 0)) * 3600 / REST_SECONDS)
        for kind, number in sorted(after.items())
        if number > before.get(kind, 0)
    }
