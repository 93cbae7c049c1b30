"""One case's world: a migration, a client that uploads, and the moments at which something can go wrong."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.migration.edges import ADOPT, EDGES
from agent.model.layout import HERE
from agent.model.phases import AFTER_CRASH, Milestone, Window
from sandbox import relay, server, stacks, store
from sandbox.engine import Stack
from sandbox.relay import Relay
from sandbox.server import kinds
from sandbox.world import LOGS, PLACE

from ..e2e import world
from ..e2e.goofys import on_the_playbooks_goofys
from ..e2e.world import STORE, VAR, Migration, journal, on_disk, server_processes, stage
from .client import Client

#: A key of the bucket that can be revoked.
KEY_ID, KEY = "FAULTSKEY7Q2XW", "faults-secret-Vq8Zr3mNp5tKw2"
NEW_KEY_ID = "FAULTSNEWKEY3Y"
EVERYTHING = [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}]
#: Seconds for a moment to come, for services to be back, and for the server to settle by itself.
MOMENT, BACK, SETTLE = 90.0, 120.0, 180.0
#: Seconds for which services may stand still, whatever happens.
STILL = 10.0
#: Seconds after which an engine that did not end is a finding.
ENGINE = 420.0
LOG = LOGS / "faults.log"
#: Bounds of a small server; the defaults would make the cases long, not different.
BOUNDS = {"host.stopSeconds": "15", "host.startSeconds": "30", "migration.windowSeconds": "40"}


@dataclass
class Scene:
    """What injectors work on."""

    migration: Migration
    relay: Relay
    client: Client
    #: What undoes lasting faults once they were watched.
    healing: list[Callable[[], object]] = field(default_factory=list)
    engine: subprocess.Popen[str] | None = None
    engine_killed: bool = False
    #: The window and its stage when the fault came.
    step: str = ""
    _phase: str = ""
    #: The bucket that a move leaves.
    left: str = ""

    @classmethod
    def make(cls, trouble: Relay, start: str, own_key: bool, kind: str, settings: Mapping[str, str]) -> Scene:
        """A fresh server in phase `start`; its store is behind the relay, and with `own_key` has a key to revoke.

        With `goofys` the playbook's mount serves since long, and is to be taken over.
        """
        migration = world.begin("faults", _stack, thin=30, kind=kind)
        stack = migration.stack
        for name, value in settings.items():
            stack.set(name, value)
        if own_key:
            store.set_user(KEY_ID, KEY, EVERYTHING)
            stack.set_secret("store.accessKeyId", KEY_ID)
            stack.set_secret("store.secretAccessKey", KEY)
        if start == "goofys":
            on_the_playbooks_goofys(migration)
            stack.set("host.adoptMount", "true")
        elif start != "none":
            migration.up(start)
        return cls(migration, trouble, Client(migration.token))

    def change_key(self) -> None:
        """The stack gets another key of the same bucket."""
        self.migration.stack.set_secret("store.accessKeyId", store.ACCESS_KEY_ID)
        self.migration.stack.set_secret("store.secretAccessKey", store.SECRET_ACCESS_KEY)

    def change_store(self) -> None:
        """The stack gets another store, which is not behind the relay, and the media are to move there."""
        migration = self.migration
        self.left, migration.bucket = migration.bucket, f"{migration.bucket}-new"
        store.empty_bucket(migration.bucket)
        store.set_user(NEW_KEY_ID, KEY, EVERYTHING)
        new = {"endpoint": store.ENDPOINT, "region": store.REGION, "bucket": migration.bucket}
        pairs = [part for key, value in new.items() for part in ("--plaintext", f"stores.new.{key}={value}")]
        migration.stack.must("config", "set-all", "--path", *pairs, "--plaintext", "serve=new")
        migration.stack.set_secret("stores.new.accessKeyId", NEW_KEY_ID)
        migration.stack.set_secret("stores.new.secretAccessKey", KEY)

    def begin_up(self, target: str) -> None:
        """`pulumi up` to a phase, or `pulumi destroy` for `none`; its output goes to a file."""
        with contextlib.suppress(FileNotFoundError):
            os.truncate(on_disk(VAR / "progress.log"), 0)  # moments are told by what this run says
        verb = "destroy" if target == "none" else "up"
        if target not in ("none", self._phase):
            self.migration.stack.set("phase", target)
            self._phase = target
        with LOG.open("w") as log:
            self.engine = self.migration.stack.popen(
                verb, "--yes", "--skip-preview", stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def output(self) -> str:
        """What the engine printed so far."""
        return LOG.read_text()

    def ended(self) -> bool:
        assert self.engine
        return self.engine.poll() is not None

    def end_up(self) -> int:
        """Wait for the engine; returns its exit status. One that never ends is a finding."""
        assert self.engine
        try:
            return self.engine.wait(ENGINE)
        except subprocess.TimeoutExpired:
            self.kill_engine()
            raise AssertionError(f"pulumi did not end within {ENGINE} s: {self.output[-500:]}") from None

    def kill_engine(self) -> None:
        assert self.engine
        self.engine_killed = True
        self.migration.stack.kill(self.engine)

    def up_again(self, target: str) -> str:
        """What an administrator does next; `completed`, or the engine's word."""
        stack = self.migration.stack
        if self.engine_killed:
            stack.call("cancel", "--yes")
        if target == "none":
            result = stack.call("destroy", "--yes", "--skip-preview")
        else:
            result = stack.call("up", "--yes", "--skip-preview")
        return "completed" if result.status == 0 else result.output[-600:]

    def heal(self) -> None:
        for undo in self.healing:
            undo()
        self.healing.clear()

    def services_run(self) -> bool:
        return server.answers()

    def nothing_stands_still(self) -> bool:
        """Whether no control group of the server is frozen; one that boots has none."""
        try:
            return not server.ssh("grep -l 1 $(find /sys/fs/cgroup -name cgroup.freeze) || true").strip()
        except RuntimeError:
            return True

    def settled(self) -> bool:
        return not stage() and not server_processes(
            r"agent\.pyz (work|recover|mount|unmount)|install --sha256|uninstall"
        )


def _stack(name: str, bucket: str) -> Stack:
    """A stack that was never up, behind the relay. It is made once and copied: that takes the engine seconds."""
    kept, stack = PLACE / "faults-stack" / kinds.current().name, Stack(name)
    if not kept.exists():
        stacks.existing(name, bucket)
        settings = {"store.endpoint": relay.ENDPOINT, **BOUNDS}
        pairs = [part for key, value in settings.items() for part in ("--plaintext", f"{key}={value}")]
        stack.must("config", "set-all", "--path", *pairs)
        kept.mkdir(parents=True)
        shutil.copy(stack.config_file, kept / "config")
        shutil.copytree(stack.backend, kept / "backend")
    stack.remove()
    shutil.copytree(kept / "backend", stack.backend)
    shutil.copy(kept / "config", stack.config_file)
    store.empty_bucket(bucket)
    return stack


def wait_for(condition: Callable[[], object], seconds: float, every: float = 0.05) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def _milestone(wanted: Milestone, about: str) -> Callable[[], bool]:
    """What the run tells programs, in the file of its progress."""

    def reached() -> bool:
        with contextlib.suppress(OSError):
            for line in on_disk(VAR / "progress.log").read_text().splitlines():
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if (event.get("milestone"), event.get("about")) == (wanted, about):
                        return True
        return False

    return reached


def _process(pattern: str) -> Callable[[], bool]:
    return lambda: bool(server_processes(pattern))


def _beside(name: str) -> Callable[[], bool]:
    return lambda: (on_disk(STORE).parent / name).exists()


def _held() -> bool:
    """Whether the agent names what stands still; that lasts a tenth of a second, so it is asked for on the spot."""
    with contextlib.suppress(OSError):
        return server.inside(HERE.held).exists()
    return False


def _stage(wanted: str) -> Callable[[], bool]:
    return lambda: stage() == wanted


#: Moments by the name they have in the cases. Before each transition, and in each stage of each window, by the agent's
#: own tables; and further ones in and after the steps.
MOMENTS: dict[str, Callable[[], bool]] = {
    **{
        f"before {edge.begins} -> {edge.ends}": _milestone(Milestone.EDGE_BEGUN, f"{edge.begins}->{edge.ends}")
        for edge in (*EDGES, ADOPT)
    },
    **{f"{window}, {stage}": _stage(f"{window}:{stage}") for window, stage in AFTER_CRASH},
    **{f"{window}, held": _held for window in Window},
    "preflight": _process(r"install --sha256"),
    "install": _process(r"agent\.pyz mount "),
    "install, mounting": lambda: (on_disk(Path("/etc/systemd/system")) / "matrix-media-store.service").exists(),
    "mirror, copying": _process(r"rclone\S* copy"),
    "move, copying": _process(r"rclone\S* copy earlier"),
    "before move": _milestone(Milestone.WINDOW_READY, Window.MOVE),
    "mirror, compared": _milestone(Milestone.COMPARED, "mirror"),
    "before cutover": _milestone(Milestone.WINDOW_READY, Window.CUTOVER),
    "after cutover": _milestone(Milestone.SERVING_AGAIN, Window.CUTOVER),
    "after restore": _milestone(Milestone.SERVING_AGAIN, Window.RESTORE),
    "clean, removing": _beside("media-store-local-backup.removing"),
    "refill": _beside("media-store-local-backup.incomplete"),
    "remount, trying": lambda: world.mounted(HERE.staging),  # for half a second, and a look at processes takes long
    "unmount": _process(r"agent\.pyz unmount"),
    "uninstall": _process(r" uninstall "),
    "engine begins": lambda: True,
    "at rest": lambda: journal().get("window") is None,
}
