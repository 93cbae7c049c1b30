"""This module tries the whole way to the bucket and back before anything relies on it, by the program that copies.

Stores have rules of their own: how requests are signed, which headers they take, what a listing shows and when. So one
small object and one in parts are written, listed, read and deleted. What is true if the power fails: objects of the
trial may stay below this program's own folder in the bucket, where no media are.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..host.beneath import beside
from ..host.processes import as_owner
from ..model.errors import CommandFailed, Problem, StoreError, StoreUnavailable
from ..model.layout import RESERVED_PREFIX
from ..state.records import Owner
from ..state.run import Server
from ..store.rclone_conf import REMOTE, rclone_environment
from .file_list import file_list
from .rclone import rclone_argv

if TYPE_CHECKING:
    from ..model.ports import Say

#: How stores refuse a request that was signed with another key, or otherwise than they expect; and what mends that.
SIGNATURE = "SignatureDoesNotMatch"
OF_SIGNATURE = (
    "most likely store.secretAccessKey is wrong, or belongs to another key than store.accessKeyId; else check "
    "store.region, store.preset and the server's clock"
)
#: Bytes of the small object, and of the one in parts: S3's smallest part, and some more.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
SMALL, PART = 2048, 5 << 20
#: Seconds for which a copy of the trial may take.
COPY_SECONDS = 600
#: Seconds within which a listing must show what was written, and no longer show what was deleted.
LISTED_SECONDS = 3.0
#: Objects of this program's own in the bucket, for trials.
FOLDER = f"{RESERVED_PREFIX}trial/"


def remedy(error: StoreError) -> str:
    """Return what an administrator can do about a refusal; the store's own message stands before it."""
    if isinstance(error, StoreUnavailable):
        return "check the network between the server and the store, and try again"
    if error.code == "NoSuchBucket":
        return "create it, or correct store.bucket"
    if error.code == "InvalidAccessKeyId":
        return "check store.accessKeyId"
    if error.code == SIGNATURE:
        return OF_SIGNATURE
    if error.status == 403:
        return (
            "do what the store says, then run pulumi up again; where it says no more, check store.accessKeyId and "
            "store.secretAccessKey, and that they may list, read, write and delete in this bucket"
        )
    return "check store.endpoint and store.region"


def try_copies(server: Server, owner: Owner, say: Say) -> None:
    """Write, list, read and delete two objects as the copies do. Raises `Problem` with what the store said."""
    store = server.settings.store
    folder = Path(tempfile.mkdtemp(prefix="trial-", dir=server.layout.var))
    key = f"{FOLDER}{secrets.token_hex(8)}/"
    bodies = {f"{key}small": secrets.token_bytes(SMALL), f"{key}parts": secrets.token_bytes(PART + SMALL)}
    try:
        back = folder / "back"
        _lay(folder, back, bodies, owner)
        _copy(server, owner, str(folder), f"{REMOTE}:{store.path}", [*bodies], "written to")
        _check_listed(server, key, {name: len(body) for name, body in bodies.items()})
        _copy(server, owner, f"{REMOTE}:{store.path}", str(back), [*bodies], "read from")
        for name, body in bodies.items():
            if not _came_back(back / name, body) or server.bucket.get(name) != body:
                raise Problem(
                    f"an object reads back from bucket {store.bucket} with other content than was written",
                    "ask the store's provider: media would be damaged there",
                )
        for name in bodies:
            server.bucket.delete(name)
        _check_listed(server, key, {})
    except StoreError as error:
        raise Problem(f"bucket {store.bucket} at {store.endpoint} answers {error.answer}", remedy(error)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # its owner may put anything into it
    say("the bucket takes, lists, gives back and deletes a small object and one in parts")


def _lay(folder: Path, back: Path, bodies: dict[str, bytes], owner: Owner) -> None:
    """Lay files, and a folder for what comes back, into a folder of root's that nobody else enters; then give it away.

    Last: what is the owner's is not touched by a path any more.
    """
    back.mkdir()
    for name, body in bodies.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    for path in (*folder.rglob("*"), folder):
        os.chown(path, owner.uid, owner.gid)


def _came_back(path: Path, body: bytes) -> bool:
    """Return whether a file has that content; its owner may have put anything there, of any size."""
    try:
        with beside(path) as (parent, name), parent.file(name) as file:
            return file.read(len(body) + 1) == body
    except OSError:
        return False


def _copy(server: Server, owner: Owner, source: str, target: str, names: Sequence[str], what: str) -> None:
    argv = [
        *rclone_argv(server.rclone, source, target, 2, hurry=True),
        "--s3-upload-cutoff", f"{PART}B", "--s3-chunk-size", f"{PART}B", "--use-json-log=false",
        "--stats", "0", "--stats-log-level", "DEBUG",
    ]  # fmt: skip
    environment = {**os.environ, **rclone_environment(server.settings.store)}
    with file_list(server.layout.var, names, "\n") as listed:
        try:
            server.system.run(as_owner(argv, *owner), COPY_SECONDS, stdin=listed, environment=environment)
        except CommandFailed as error:
            store, reason = server.settings.store, _reason(error)
            raise Problem(
                f"rclone says that nothing can be {what} bucket {store.bucket} at {store.endpoint}: {reason}",
                OF_SIGNATURE
                if SIGNATURE in reason
                else "do what the store says, then run pulumi up again; where it says no more, check that the key may "
                "list, read, write and delete in this bucket, and that store.preset names the store's kind",
            ) from None


def _reason(error: CommandFailed) -> str:
    """Return the store's own words of what rclone printed, or its last line where it has none."""
    found = re.findall(r"api error (.*)", str(error))
    last: str = found[-1] if found else str(error).rpartition("NOTICE: ")[2]
    return last.partition(" | ")[0]


def _check_listed(server: Server, key: str, wanted: dict[str, int]) -> None:
    """Raise `Problem` where a listing does not show these objects with their sizes, and no others, before long."""
    found: dict[str, int] = {}

    def is_right() -> bool:
        nonlocal found
        found = {item.key: item.size for item in server.bucket.list(key)}
        return found == wanted

    if not server.system.wait_until(is_right, LISTED_SECONDS, every=0.5):
        trouble = "does not show what was written" if wanted else "still shows what was deleted"
        raise Problem(
            f"a listing of bucket {server.settings.store.bucket} {trouble} {LISTED_SECONDS:.0f} s ago "
            f"({len(found)} of {len(wanted)} objects)",
            "run pulumi up again; if that stays so, take away what caches before the store, or use one with strongly "
            "consistent listings: what is missing in a listing would count as lost",
        )
