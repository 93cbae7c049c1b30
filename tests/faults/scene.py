"""One case's world: a migration, a client that uploads, and the moments at which something can go wrong."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import relay, stacks, store, synapse
from sandbox.engine import Stack
from sandbox.relay import Relay
from sandbox.world import HOME, LOGS

from ..e2e import world
from ..e2e.world import STORE, VAR, Migration, journal, on_disk, server_processes, stage
from .client import Client

#: A key of the bucket that can be revoked.
KEY_ID, KEY = "FAULTSKEY7Q2XW", "faults-secret-Vq8Zr3mNp5tKw2"
EVERYTHING = [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}]
#: Seconds for a moment to come, for services to be back, and for the server to settle by itself.
MOMENT, BACK, SETTLE = 90.0, 120.0, 180.0
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
    #: The journal's step and stage when the fault came.
    step: str = ""
    _phase: str = ""

    @classmethod
    def make(cls, trouble: Relay, start: str, own_key: bool = False) -> Scene:
        """A fresh server in phase `start`; its store is behind the relay, and with `own_key` has a key to revoke."""
        migration = world.begin("faults", _stack, thin=30)
        stack = migration.stack
        if own_key:
            store.set_user(KEY_ID, KEY, EVERYTHING)
            stack.set_secret("store.accessKeyId", KEY_ID)
            stack.set_secret("store.secretAccessKey", KEY)
        if start != "none":
            migration.up(start)
        return cls(migration, trouble, Client(migration.token))

    def change_key(self) -> None:
        """The stack gets another key of the same bucket."""
        self.migration.stack.set_secret("store.accessKeyId", store.ACCESS_KEY_ID)
        self.migration.stack.set_secret("store.secretAccessKey", store.SECRET_ACCESS_KEY)

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
        """SIGKILL for pulumi and all its plugins."""
        assert self.engine
        self.engine_killed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.engine.pid, signal.SIGKILL)
        self.engine.wait()

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
        try:
            return bool(synapse.call("GET", "/_matrix/client/versions"))
        except OSError:
            return False

    def settled(self) -> bool:
        return not stage() and not server_processes(
            r"agent\.pyz (work|recover|mount|unmount)|install --agent|uninstall"
        )


def _stack(name: str, bucket: str) -> Stack:
    """A stack that was never up, behind the relay. It is made once and copied: that takes the engine seconds."""
    kept, stack = HOME / "faults-stack", Stack(name)
    if not kept.exists():
        stacks.existing(name, bucket)
        settings = {"store.endpoint": relay.ENDPOINT, **BOUNDS}
        pairs = [part for key, value in settings.items() for part in ("--plaintext", f"{key}={value}")]
        stack.must("config", "set-all", "--path", *pairs)
        kept.mkdir()
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


def _progress(text: str) -> Callable[[], bool]:
    def seen() -> bool:
        with contextlib.suppress(OSError):
            return text in on_disk(VAR / "progress.log").read_text()
        return False

    return seen


def _process(pattern: str) -> Callable[[], bool]:
    return lambda: bool(server_processes(pattern))


def _beside(name: str) -> Callable[[], bool]:
    return lambda: (on_disk(STORE).parent / name).exists()


def _stage(wanted: str) -> Callable[[], bool]:
    return lambda: stage() == wanted


#: Moments by the name they have in the cases: before, in and after each step.
MOMENTS: dict[str, Callable[[], bool]] = {
    "preflight": _process(r"install --agent-version"),
    "install": _process(r"agent\.pyz mount "),
    "install, mounting": lambda: (on_disk(Path("/etc/systemd/system")) / "matrix-media-store.service").exists(),
    "prepare": _progress("local -> prepare"),
    "before mirror": _progress("prepare -> mirror"),
    "mirror, copying": _process(r"rclone copy"),
    "after mirror": _progress("are in the bucket and equal"),
    "before cutover": _progress("cutover: ready"),
    "cutover, stopping": _stage("cutover:delta"),
    "cutover, swapping": _stage("cutover:swapping"),
    "cutover, starting": _stage("cutover:starting"),
    "after cutover": _progress("the homeserver answers after"),
    "before restore": _progress("live -> mirror"),
    "restore, stopping": _stage("restore:delta"),
    "restore, swapping": _stage("restore:swapping"),
    "restore, starting": _stage("restore:starting"),
    "after restore": _progress("the local store serves again"),
    "before clean": _progress("live -> clean"),
    "clean, removing": _beside("media-store-local-backup.removing"),
    "refill": _beside("media-store-local-backup.incomplete"),
    "key rotation, trying": _process(r"goofys .*staging"),
    "key rotation, stopping": _stage("remount:delta"),
    "key rotation, starting": _stage("remount:starting"),
    "unmount": _process(r"agent\.pyz unmount"),
    "uninstall": _process(r" uninstall "),
    "engine begins": lambda: True,
    "at rest": lambda: journal().get("step") is None,
}
