"""Somebody has taken over the homeserver, and lays links wherever root comes by, again and again, in every phase."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sandbox import server
from sandbox.world import RUN, SERVER_ADDRESS, SSH_KEY

from .world import STORE, VAR, Begin, Migration, journal, on_disk, settled, subset, wait_for

ROUNDS = 200
VICTIM = Path("/srv/victim")
SECRET = "root's own secret, which nobody else may read"
STOP = Path("/tmp/attacker-stop")


def lay_victim() -> None:
    """What the attacker wants root to read, write or give away."""
    inner = on_disk(VICTIM) / "folder/aa/bb"
    inner.mkdir(parents=True)
    for path in (inner / "secret", on_disk(VICTIM) / "secret"):
        path.write_text(SECRET)
        path.chmod(0o600)
    on_disk(VICTIM).chmod(0o711)


def victim() -> list[str]:
    look = "find . -printf '%p %U:%G %m %l\\n' | sort; sha256sum secret folder/aa/bb/secret"
    return server.ssh(f"cd {VICTIM}; {look}").splitlines()


class Attacker:
    """Works while the body runs; `swaps` says how often it did something."""

    def __init__(self) -> None:
        self.swaps = 0

    def __enter__(self) -> Attacker:
        on_disk(Path("/opt/attacker.py")).write_text(Path(__file__).with_name("attacker.py").read_text())
        server.ssh(f"rm -f {STOP}")
        run = f"runuser -u matrix -- python3 /opt/attacker.py {STORE.parent} {VICTIM} {STOP}"
        known = RUN / "known_hosts"
        self._process = subprocess.Popen(
            ["ssh", "-i", str(SSH_KEY), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes",
             f"root@{SERVER_ADDRESS}", run],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        return self

    def __exit__(self, *exc: object) -> None:
        server.ssh(f"touch {STOP}")
        output, errors = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, errors
        self.swaps += int(output)


def under_attack(migration: Migration, attacker: Attacker, phase: str, tries: int = 1) -> None:
    """An update that may fail, and one that must not."""
    with attacker:
        for _ in range(tries):
            migration.try_up(phase)
    wait_for(settled, every=0.5)
    migration.up(phase)
    assert journal()["phase"] == phase


def test_root_is_led_nowhere_by_links_and_no_file_is_lost(begin: Begin) -> None:
    """Review, entries 1 to 6."""
    migration, attacker = begin("hostile", thin=15), Attacker()
    lay_victim()
    before = victim()
    for phase in ("mirror", "live", "clean", "prepare"):
        under_attack(migration, attacker, phase)
        assert victim() == before, f"on the way to {phase}"
    assert attacker.swaps >= ROUNDS, f"only {attacker.swaps} swaps"
    migration.assert_serves_locally()
    objects = migration.objects()
    assert subset(migration.before, objects) == []
    secret = server.ssh(f"sha256sum {VICTIM}/secret").split()[0]
    assert secret not in objects.values()
    left = [path.name for path in on_disk(STORE).parent.iterdir() if path.name.startswith(".aside")]
    assert left == [], "the attacker put all back"
    assert not list(on_disk(VAR).glob("b2-*"))
