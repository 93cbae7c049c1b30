"""The bridge that the server and the store share."""

from __future__ import annotations

import socket

from .world import HOST_ADDRESS, NAME, run


def _is_there() -> bool:
    # Not by /sys, which shows the network that it was mounted in.
    return NAME in {name for _, name in socket.if_nameindex()}


def up() -> None:
    if not _is_there():
        run("ip", "link", "add", NAME, "type", "bridge")
        run("ip", "address", "add", f"{HOST_ADDRESS}/24", "dev", NAME)
    run("ip", "link", "set", NAME, "up")


def down() -> None:
    if _is_there():
        run("ip", "link", "delete", NAME)
