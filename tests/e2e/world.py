"""A migration under test: a fresh server, a bucket, a stack, and ways to look at them from outside."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from sandbox import server, stacks, store, synapse
from sandbox.__main__ import prepare
from sandbox.demo import bucket_contents
from sandbox.engine import Result, Stack
from sandbox.server import kinds, matrix
from sandbox.server import on_disk as on_disk
from sandbox.world import PLACE, ROOT, WORLD, run

STORE = Path("/") / synapse.STORE
BACKUP = STORE.with_name("media-store-local-backup")
VAR = Path("/var/lib/matrix-media-store")
#: Size of a file system that can be full: what the agent wants to be free, and some more.
OWN_DISK = "450M"


@dataclass
class Migration:
    """`before` is the local tree and `media` what was uploaded, both as they were at the start."""

    stack: Stack
    bucket: str
    token: str
    media: list[synapse.Media]
    before: dict[str, str]
    #: Base64, where the store encrypts with the stack's own key.
    customer_key: str = ""

    def up(self, phase: str) -> str:
        return self.stack.phase(phase)

    def try_up(self, phase: str) -> Result:
        self.stack.set("phase", phase)
        return self.stack.call("up", "--yes", "--skip-preview")

    def objects(self) -> dict[str, str]:
        return bucket_contents(self.bucket, self.customer_key)

    def upload(self, size: int = 20_000) -> synapse.Media:
        item = synapse.upload(self.token, os.urandom(size))
        self.media.append(item)
        return item

    def purge(self, item: synapse.Media) -> None:
        """Through Synapse's admin API, thumbnails included."""
        synapse.purge(self.token, item)
        self.media.remove(item)
        for path in [path for path in self.before if media_id(path) == item.id]:
            del self.before[path]

    def differing(self) -> list[str]:
        """Uploads that do not download byte for byte."""
        return synapse.differing(self.token, self.media)

    def verdict(self) -> dict[str, Any]:
        verdict: dict[str, Any] = json.loads(self.stack.must("stack", "output", "server", "--json"))
        return verdict

    def playbook_lines(self) -> dict[str, Any]:
        """What the stack's outputs have the playbook's vars.yml say."""
        outputs = json.loads(self.stack.must("stack", "output", "--json", "--show-secrets"))
        return dict(yaml.safe_load(f"{outputs['playbookVars']}\n{outputs['playbookKeys']}"))

    def assert_serves_locally(self) -> None:
        """Everything is there, from local disk, and the homeserver runs."""
        assert not mounted(STORE)
        assert synapse_runs()
        assert subset(self.before, synapse.tree()) == []
        assert self.differing() == []

    def assert_serves_from_bucket(self) -> None:
        self.assert_serves()
        assert subset(self.before, self.objects()) == []

    def assert_serves(self) -> None:
        """Everything is there, from a bucket, and the homeserver runs."""
        assert mounted(STORE)
        assert synapse_runs()
        assert self.differing() == []


#: What the fixture `begin` gives: `begin` below, whose stack is forgotten after the test.
Begin = Callable[..., Migration]


def begin(
    name: str, make: Callable[..., Stack] = stacks.existing, thin: int = 40, kind: str = "", **options: Any
) -> Migration:
    """A fresh server with the seed's media, no media in the store, and a stack that was never up.

    `kind` is the server's, where it is not the one that all tests run on.

    `thin` leaves that many uploads with their thumbnails, and the odd names; 0 leaves all, 100 MB in one file too.
    """
    token, media = fresh_server(thin, kind)
    bucket = f"test-{name}"
    # Worlds share the folder of stacks' files.
    stack = make("-".join(["sandbox", name, *([WORLD] if WORLD else [])]), bucket, **options)
    return Migration(stack, bucket, token, media, synapse.tree(), options.get("customer_key", ""))


def fresh_server(thin: int, kind: str = "") -> tuple[str, list[synapse.Media]]:
    """A server with so many of the seed's uploads, running; an access token, and what was uploaded."""
    wanted = kinds.KINDS[kind] if kind else kinds.wanted()
    prepare(wanted)
    server.fresh(kind=wanted)
    token, media = synapse.seeded_media()
    media = media[: thin or None]
    if thin:
        _remove_files({item.id for item in media})
    server.up()
    if thin:
        names = ",".join(f"'{item.id}'" for item in media)
        for table in ("local_media_repository", "local_media_repository_thumbnails"):
            synapse.sql(f"DELETE FROM {table} WHERE media_id NOT IN ({names})")
    return token, list(media)


def _remove_files(kept: set[str]) -> None:
    for folder in ("local_content", "local_thumbnails"):
        root = on_disk(STORE) / folder
        for path in [path for path in root.rglob("*") if path.is_file()]:
            if "".join(path.relative_to(root).parts[:3]) not in kept:
                path.unlink()


def media_id(path: str) -> str:
    return "".join(path.split("/")[1:4])


def subset(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """Names of `wanted` that `found` lacks or has with other content."""
    return [path for path, digest in wanted.items() if found.get(path) != digest]


def mounted(path: Path) -> bool:
    return bool(server.ssh(f"findmnt --noheadings --types fuse,fuse.rclone --mountpoint {path}", check=False).strip())


def operate(migration: Migration, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    """`media-store` with these words, for the migration's stack, or for the whole fleet."""
    stack = [] if arguments[0] == "fleet" else ["--stack", migration.stack.name]
    return subprocess.run(
        [ROOT / ".venv/bin/media-store", *arguments, *stack],
        cwd=ROOT, env=migration.stack.env, text=True, capture_output=True, input=answer,
    )  # fmt: skip


def hash_on_server(folder: Path) -> dict[str, str]:
    """A tree as the homeserver's user sees it on the server, mounts included."""
    script = Path(__file__).with_name("hash_tree.py").read_text()
    tree: dict[str, str] = json.loads(server.ssh(f"cd /; runuser -u matrix -- python3 - {folder}", stdin=script))
    return tree


def journal() -> dict[str, Any]:
    """The agent's journal, read from the server's disk without disturbing it."""
    try:
        found: dict[str, Any] = json.loads(on_disk(VAR / "journal.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def stage() -> str:
    """`window:stage` of the transition under way, or empty."""
    window = journal().get("window")
    return f"{window['name']}:{window['stage']}" if window else ""


def wait_for(condition: Callable[[], Any], seconds: float = 120, every: float = 0.002) -> Any:
    """The condition's first true value; fails the test where it does not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(every)
    raise AssertionError(f"waited {seconds} s in vain for {condition}")


def server_processes(pattern: str) -> list[int]:
    """Ids, on this machine, of the server's processes whose command line matches.

    It is quick: what a process does may be over in a tenth of a second.
    """
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if re.search(pattern, line) and server.owns(int(name)):
                found.append(int(name))
    return found


def settled() -> bool:
    """No run is under way on the server and nothing is left half done."""
    active = server.ssh("systemctl is-active matrix-media-store-converge", check=False).strip()
    return active in ("inactive", "failed", "unknown", "") and not stage()


def synapse_runs() -> bool:
    """Whether its unit is active; a container's is so before what is in it answers, so that is asked too."""
    active = server.ssh("systemctl is-active matrix-synapse", check=False).strip() == "active"
    return active and (not kinds.current().in_containers or server.answers())


def stopped() -> str:
    """The units that a window stops, as the agent names them."""
    workers = [f"{worker.name}.service" for worker in matrix.workers(kinds.current())]
    return ", ".join(sorted([*workers, "matrix-synapse.service"]))


def synapse_started() -> str:
    """When the homeserver was started last; unchanged as long as it was not stopped."""
    return _started("matrix-synapse")


def mount_started() -> str:
    """When the mount of the bucket came up last."""
    return _started("matrix-media-store")


def _started(unit: str) -> str:
    return server.ssh(f"systemctl show --property=ActiveEnterTimestampMonotonic,MainPID {unit}").strip()


def run_playbook(told: Mapping[str, Any] = MappingProxyType({}), services: str = "restart", version: str = "1") -> None:
    """What a run of the playbook with these variables does on the server; the homeserver is starting then.

    `services`: restart them, start them, or leave them as they are. `version`: of the containers' image.
    """
    script = on_disk(Path("/root/playbook.py"))
    script.write_text(Path(server.HERE, "playbook.py").read_text())
    laid = {"units": matrix.units, "files": matrix.files}
    texts = {what: lay(kinds.current(), told, version) for what, lay in laid.items()}
    document = {**texts, "keys": matrix.keys(told), "services": services}
    server.ssh("python3 /root/playbook.py", stdin=json.dumps(document))


def flip_byte(bucket: str, key: str) -> bytes:
    """Change one byte of an object at equal size; returns the content from before."""
    s3 = store.client()
    body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=bucket, Key=key, Body=bytes([body[0] ^ 1]) + body[1:])
    return body


@contextlib.contextmanager
def own_disk(folder: Path, kind: str) -> Iterator[None]:
    """What lies at a folder of the server moves to a small file system of that kind, mounted there at each boot."""
    place, image = on_disk(folder), PLACE / "own-disk"
    server.down()
    place.mkdir(parents=True, exist_ok=True)
    aside, info = place.with_name(place.name + ".aside"), place.stat()
    run("mv", place, aside)
    place.mkdir()
    if kind == "mergerfs":  # inodes follow from the path; with pages in memory, which Synapse's SQLite maps
        run("mergerfs", "-o", "allow_other,inodecalc=path-hash,cache.files=auto-full", aside, place)
    elif kind == "tmpfs":
        run("mount", "-t", "tmpfs", "-o", f"size={OWN_DISK},mode={info.st_mode & 0o777:o}", "tmpfs", place)
    else:
        image.unlink(missing_ok=True)
        run("truncate", f"--size={OWN_DISK}", image)
        run(f"mkfs.{kind}", "-q", image)
        run("mount", "-o", "loop", image, place)
    if kind != "mergerfs":
        run("cp", "--archive", f"{aside}/.", place)
    server.up()
    try:
        yield
    finally:
        server.kill()
        run("umount", place)
        image.unlink(missing_ok=True)
