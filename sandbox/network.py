"""The bridge that the server and the store share."""

from __future__ import annotations

from pathlib import Path

from .world import HOST_ADDRESS, NAME, run


def up() -> None:
    if not Path(f"/sys/class/net/{NAME}").exists():
        run("ip", "link", "add", NAME, "type", "bridge")
        run("ip", "address", "add", f"{HOST_ADDRESS}/24", "dev", NAME)
    run("ip", "link", "set", NAME, "up")


def down() -> None:
    if Path(f"/sys/class/net/{NAME}").exists():
        run("ip", "link", "delete", NAME)
