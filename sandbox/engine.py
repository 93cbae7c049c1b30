"""The Pulumi engine: an installed one, or one built here; and stacks on it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import parts
from .world import BIN, HOME, PLACE, ROOT, run, tell

PULUMI_HOME = HOME / "pulumi-home"
PLUGINS = {"command": "1.2.1", "aws": "7.51.1", "terraform-provider": "1.4.0"}
PASSPHRASE = "sandbox-passphrase"


def installed() -> str | None:
    """The machine's own Pulumi, with which its language host and plugins come."""
    return shutil.which("pulumi")


def pulumi() -> str:
    return installed() or str(BIN / "pulumi")


def up() -> None:
    """Engine, language host and plugins, wherever they come from."""
    PULUMI_HOME.mkdir(parents=True, exist_ok=True)
    _keep_no_logs()
    if not installed():
        _place_exec_script()
    for name, version in PLUGINS.items():
        _plugin(name, version)


def _keep_no_logs() -> None:
    """The engine compresses a log of its own line by line, a fifth of the time of an `up`: a file takes its folder."""
    logs = PULUMI_HOME / "logs"
    if not logs.is_file():
        shutil.rmtree(logs, ignore_errors=True)
        logs.touch()


def _place_exec_script() -> None:
    """The language host of an older SDK needs this SDK's start script beside it."""
    script = BIN / "pulumi-language-python-exec"
    if not script.exists():
        folder = run(
            parts.go(),
            "list",
            "-m",
            "-f",
            "{{.Dir}}",
            "github.com/pulumi/pulumi/sdk/v3",
            cwd=parts.PARTS / "pulumi",
        ).strip()
        shutil.copy(Path(folder) / "python/cmd/pulumi-language-python-exec", script)
        script.chmod(0o755)


def _plugin(name: str, version: str) -> None:
    """The published plugin where it can be had; the sandbox's stand-in only where it can't."""
    folder = PULUMI_HOME / "plugins" / f"resource-{name}-v{version}"
    binary = folder / f"pulumi-resource-{name}"
    standing_in = ROOT / "sandbox/plugins" / name.replace("-", "_") / binary.name
    published = Path.home() / ".pulumi/plugins" / folder.name
    if published.exists() and (not binary.exists() or binary.samefile(standing_in)):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(published, folder)  # the engine passes over a plugin's folder that is a link
    if binary.exists():
        return
    with contextlib.suppress(subprocess.TimeoutExpired):
        run(pulumi(), "plugin", "install", "resource", name, version, quiet=True, env=environment(), timeout=120)
    if not binary.exists():
        tell(f"the published plugin {name} {version} cannot be had here: using the sandbox's stand-in")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        binary.symlink_to(standing_in)


def environment() -> dict[str, str]:
    """What every call of the engine runs with; nothing of the user's own Pulumi or clouds leaks in."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PULUMI_", "AWS_", "B2_")) and name not in ("CI", "SSH_AUTH_SOCK")
    }
    path = [str(ROOT / ".venv/bin"), *([] if installed() else [str(BIN)]), os.environ.get("PATH", "")]
    return {
        **kept,
        "PATH": ":".join(path),
        "VIRTUAL_ENV": str(ROOT / ".venv"),
        "PULUMI_HOME": str(PULUMI_HOME),
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_PYTHON_CMD": str(ROOT / ".venv/bin/python"),
    }


def _heed_interrupts() -> None:
    """A shell lets what it starts in the background ignore these, and the engine waits 5 s for plugins that do."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class Result:
    """How a call ended, and all it printed."""

    status: int
    output: str


@dataclass(frozen=True)
class Stack:
    """A stack on a file backend of its own; its configuration lies where users keep theirs."""

    name: str
    #: More of the engine's environment, as credentials of a cloud.
    extra: Mapping[str, str] = field(default_factory=dict)
    #: The program's folder; another one to run another version of it on the same state.
    root: Path = ROOT

    @property
    def backend(self) -> Path:
        return PLACE / "state" / self.name

    @property
    def config_file(self) -> Path:
        return self.root / "stacks" / f"Pulumi.{self.name}.yaml"

    @property
    def env(self) -> dict[str, str]:
        return {**environment(), **self.extra, "PULUMI_BACKEND_URL": f"file://{self.backend}"}

    def popen(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [pulumi(), *arguments, "--stack", self.name, "--non-interactive", "--color", "never"],
            cwd=self.root, env=self.env, text=True, stdin=subprocess.DEVNULL, preexec_fn=_heed_interrupts, **options,
        )  # fmt: skip

    def call(self, *arguments: str, echo: bool = False) -> Result:
        """Run `pulumi …` on this stack; with `echo`, show its lines as they come."""
        with self.popen(*arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            assert process.stdout
            lines = []
            for line in process.stdout:
                lines.append(line)
                if echo:
                    print(line, end="", flush=True)
        return Result(process.returncode, "".join(lines))

    def must(self, *arguments: str, echo: bool = False) -> str:
        result = self.call(*arguments, echo=echo)
        if result.status:
            raise RuntimeError(f"pulumi {arguments[0]} ended with status {result.status}:\n{result.output[-6000:]}")
        return result.output

    def kill(self, process: subprocess.Popen[str]) -> None:
        """SIGKILL for an engine that leads a session of its own, with all its plugins."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._mend()

    def _mend(self) -> None:
        """As the runbook says: the engine may leave half a state on disk where it is killed while it writes."""
        for state in self.backend.glob(f".pulumi/stacks/*/{self.name}.json"):
            try:
                json.loads(state.read_text())
            except ValueError:
                shutil.copy(state.with_name(f"{state.name}.bak"), state)

    def create(self, config: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        """A new stack with this configuration; an old one of the name is forgotten, whatever it held."""
        shutil.rmtree(self.backend, ignore_errors=True)
        self.backend.mkdir(parents=True)
        self.config_file.unlink(missing_ok=True)
        run(
            pulumi(), "stack", "init", self.name, "--non-interactive", "--secrets-provider", "passphrase",
            cwd=self.root, env=self.env,
        )  # fmt: skip
        pairs = [part for key, value in config.items() for part in ("--plaintext", f"{key}={value}")]
        self.must("config", "set-all", "--path", *pairs)
        for key, value in secrets.items():
            self.set_secret(key, value)

    def set(self, key: str, value: str) -> None:
        self.must("config", "set", "--path", key, value)

    def set_secret(self, key: str, value: str) -> None:
        """A secret goes in by standard input, never as an argument."""
        subprocess.run(
            [pulumi(), "config", "set", "--path", "--secret", key, "--stack", self.name, "--non-interactive"],
            cwd=self.root, env=self.env, text=True, input=value, check=True, capture_output=True,
        )  # fmt: skip

    def phase(self, phase: str, echo: bool = False) -> str:
        """Set the phase and bring the world to it."""
        self.set("phase", phase)
        return self.must("up", "--yes", "--skip-preview", echo=echo)

    def remove(self) -> None:
        shutil.rmtree(self.backend, ignore_errors=True)
        shutil.rmtree(self.root / "reports" / self.name, ignore_errors=True)
        self.config_file.unlink(missing_ok=True)
