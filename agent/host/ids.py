"""This module tells this server from every other one, and from a copy of its disk on another machine.

A clone has all files of the server that it was made from, its machine id too. So the id is made of what a clone does
not share: the hardware's own id, which a hypervisor gives each machine anew; in a container, which sees its host's
hardware, the address of its first network interface.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from ..model.items import ServerIds

#: Where each is found; tests have others.
MACHINE_ID = Path("/etc/machine-id")
CONTAINER = Path("/run/systemd/container")
INTERFACES = Path("/sys/class/net")
#: What the firmware calls this machine; small boards have a serial number only.
HARDWARE = (Path("/sys/class/dmi/id/product_uuid"), Path("/sys/firmware/devicetree/base/serial-number"))
#: What a container's own interface is called; all others come and go with what runs in it, such as a VPN.
OWN = ("eth", "en", "host", "mv-", "iv-")


def of_this_server() -> ServerIds:
    """Return the ids of this server, each a digest, since systemd asks to keep the machine id private.

    Earlier versions took the machine id alone, which a clone shares; each claim of a bucket replaces it by today's.
    https://www.freedesktop.org/software/systemd/man/latest/machine-id.html
    """
    machine = MACHINE_ID.read_bytes().strip()
    return ServerIds(_digest(machine + b"".join(b":" + each for each in _hardware())), _digest(machine))


def _digest(text: bytes) -> str:
    return hashlib.sha256(b"matrix-media-store:" + text).hexdigest()[:32]


def _hardware() -> list[bytes]:
    if CONTAINER.exists():
        return _address()
    for path in HARDWARE:
        with contextlib.suppress(OSError):
            return [path.read_bytes().strip(b"\0\n ").lower()]
    return []


def _address() -> list[bytes]:
    """Return the address of the container's first interface of its own, if it has one."""
    for interface in sorted(INTERFACES.iterdir()):
        if interface.name.startswith(OWN):
            with contextlib.suppress(OSError):
                address = (interface / "address").read_bytes().strip()
                if address:
                    return [address]
    return []
