"""This module makes the commands that mount the bucket by goofys or rclone. It is pure.

`units` puts them into unit files. https://github.com/kahing/goofys, https://rclone.org/commands/rclone_mount/
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..host.units import quote, quote_value
from ..model.settings import StoreSettings
from ..state.run import Server
from ..store.rclone_conf import REMOTE
from . import write_cache

#: One server writes to the bucket, so what a mount remembers stays true; the playbook takes the same.
CACHE_TTL = "60m0s"
#: Where the unit finds the customer's key; goofys takes it as an argument only.
CUSTOMER_KEY_VARIABLE = "MATRIX_MEDIA_STORE_CUSTOMER_KEY"


def goofys_argv(program: Path, store: StoreSettings, where: Path, uid: int, gid: int) -> list[str]:
    """Return the command that runs goofys in the foreground, for the owner of the media store alone."""
    return [
        str(program), "-f",
        "--endpoint", store.endpoint,
        "--region", store.region,
        *(["--storage-class", store.storage_class] if store.storage_class else []),
        "--uid", str(uid), "--gid", str(gid),
        "--dir-mode", "0700", "--file-mode", "0600",
        "--stat-cache-ttl", CACHE_TTL, "--type-cache-ttl", CACHE_TTL,
        "-o", "allow_other",
        f"{store.bucket}:{store.prefix}" if store.prefix else store.bucket, str(where),
    ]  # fmt: skip


def rclone_argv(
    program: Path, conf: Path, store: StoreSettings, where: Path, uid: int, gid: int, cache: Sequence[str] = ()
) -> list[str]:
    """Return the command that runs rclone in the foreground, for the owner of the media store alone.

    Without a `cache`, a file is closed only once it is in the bucket: what the homeserver acknowledges is there,
    whatever happens to the server then. `cache` are the options for one, see `write_cache`.
    https://rclone.org/commands/rclone_mount/
    """
    return [
        str(program), "mount", f"{REMOTE}:{store.path}", str(where),
        "--config", str(conf),
        # Without default permissions the modes below would be decoration: rclone itself lets everybody in.
        "--allow-other", "--default-permissions", "--uid", str(uid), "--gid", str(gid),
        "--dir-perms", "0700", "--file-perms", "0600",
        *(cache or ("--vfs-cache-mode", "off", "--dir-cache-time", CACHE_TTL)),
        "--no-modtime",
    ]  # fmt: skip


def command(server: Server, where: Path, uid: int, gid: int, serves: bool = False) -> str:
    """Return the unit's ExecStart, in systemd's quotes. Raises `Problem` where no program runs on this processor.

    The mount that `serves` as the media store has the cache, where there is one: two programs may not share it.
    """
    program, store = server.mount_program, server.settings.store
    if server.settings.mount.program == "rclone":
        cache = write_cache.options(server) if serves else []
        return " ".join(map(quote, rclone_argv(program, server.layout.rclone_conf, store, where, uid, gid, cache)))
    argv = [quote(argument) for argument in goofys_argv(program, store, where, uid, gid)]
    if store.sse_customer_key:
        # Alone: with --sse too it would write with S3's key and read with the customer's.
        argv[1:1] = ["--sse-c", f"${{{CUSTOMER_KEY_VARIABLE}}}"]
    return " ".join(argv)


def environment(store: StoreSettings) -> str:
    """Return the text of the unit's environment file, which holds the keys and only root may read."""
    values = {"AWS_ACCESS_KEY_ID": store.access_key_id, "AWS_SECRET_ACCESS_KEY": store.secret_access_key}
    if store.sse_customer_key:
        values[CUSTOMER_KEY_VARIABLE] = store.sse_customer_key
    return "".join(f"{name}={quote_value(value)}\n" for name, value in values.items())
