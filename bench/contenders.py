"""What copies a media store into a bucket: each as an administrator would run it on the server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sandbox import server, store

from .ground import BUCKET, MEDIA_STORE, RCLONE_CONF, TOOLS, Ground, await_mount, converge, on_server

MOUNT = "/matrix/s3-media-store"


@dataclass(frozen=True)
class Contender:
    """`copy` copies all there is.

    A slow one is measured on a small store and calculated for a large one; one that copies few files at once is
    measured beside the store only, since it takes many minutes far from it.
    """

    name: str
    copy: Callable[[Ground], object]
    slow: bool = False
    few_at_once: bool = False


def mount_goofys(endpoint: str, where: str) -> None:
    """As the playbook mounts it."""
    server.ssh(f"mkdir -p {where}")
    owner = str(server.MATRIX_ID)
    on_server(
        "/opt/goofys/goofys", "-f", "--endpoint", endpoint, "--region", store.REGION,
        "--stat-cache-ttl", "60m0s", "--type-cache-ttl", "60m0s", "--dir-mode", "0700", "--file-mode", "0700",
        "--uid", owner, "--gid", owner, "-o", "allow_other", BUCKET, where,
        unit="bench-goofys",
    )  # fmt: skip
    await_mount(where)


@contextlib.contextmanager
def goofys(endpoint: str, where: str) -> Iterator[None]:
    """A mount by goofys that is there for a while."""
    mount_goofys(endpoint, where)
    try:
        yield
    finally:
        server.ssh("systemctl stop bench-goofys")


def rsync() -> None:
    """The manual procedure's command, word for word."""
    server.ssh(f"sudo -u matrix -- rsync --size-only --ignore-existing -avr {MEDIA_STORE}/. {MOUNT}/. >/dev/null")


def manual(ground: Ground) -> None:
    with goofys(ground.endpoint, MOUNT):
        rsync()


def plain_rclone(ground: Ground) -> None:
    on_server("/opt/rclone/rclone", "copy", MEDIA_STORE, f"bench:{BUCKET}", "--config", RCLONE_CONF)


def s5cmd(ground: Ground) -> None:
    on_server(
        f"{TOOLS}/s5cmd", "--endpoint-url", ground.endpoint, "--log", "error",
        "sync", f"{MEDIA_STORE}/", f"s3://{BUCKET}/",
    )  # fmt: skip


def loader(ground: Ground) -> None:
    on_server("python3", f"{TOOLS}/loader.py", MEDIA_STORE, ground.endpoint, store.REGION, BUCKET)


PROGRAM, MANUAL, LIMIT = "this program", "rsync through goofys (the manual procedure)", "concurrent PUTs, nothing else"
CONTENDERS = [
    Contender(PROGRAM, lambda ground: converge("mirror")),
    Contender(LIMIT, loader),
    Contender("s5cmd sync", s5cmd),
    Contender("rclone copy, as it comes", plain_rclone, few_at_once=True),
    Contender(MANUAL, manual, slow=True),
]
