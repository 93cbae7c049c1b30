"""The cases with a cache in front of the bucket: what it owes when something goes wrong is in the bucket in the end."""

from __future__ import annotations

from pathlib import Path

from sandbox.relay import Mode

from ..e2e.owed import FOLDER
from . import cached_injectors as c
from . import injectors as i
from .case import Case

AT_REST, HOME = ("live", "live", "at rest"), ("live", "prepare", "at rest")
#: For so long the bucket is away, in seconds.
AWAY, LONG = 30.0, 600.0
CACHE = Path(FOLDER)

#: What happens on the server while the bucket is away and the cache owes it uploads.
MEANWHILE = (
    ("", c.nothing),
    (", mount killed", c.mount_killed),
    (", mount hangs", c.mount_hangs),
    (", power lost", i.power_lost),
    (", rebooted", i.rebooted),
    (", Docker killed", i.docker_killed),
)

CACHED = [
    *(
        Case(f"bucket away with uploads owed{what}", c.owing(inject, AWAY), *AT_REST, method="auto", cached=True)
        for what, inject in MEANWHILE
    ),
    Case("bucket away for 10 min with uploads owed", c.owing(c.nothing, LONG), *AT_REST, method="auto", cached=True),
    *(
        Case(
            f"bucket away for good with uploads owed{what}",
            c.owing(inject),
            *way,
            method="auto",
            cached=True,
            waits=True,
        )
        for way in (HOME, ("live", "clean", "at rest"))
        # The homeserver waits too: each upload tries the bucket, on the thread that answers everybody.
        for what, inject in (("", c.nothing), (", power lost", i.power_lost))
    ),
    Case("key revoked with uploads owed", c.key_revoked_owing, *AT_REST, method="auto", cached=True),
    *(
        Case(f"{fault} with a cache", inject, *way, method="auto", cached=True)
        for way in (
            ("live", "prepare", "restore, held"),
            ("live", "live", "remount, held"),
            ("live", "live", "move, held"),
        )
        for fault, inject in (
            ("agent killed", i.agent_killed),
            ("mount killed", c.mount_killed),
            ("power lost", i.power_lost),
            ("store silent for 5 s", i.store_in(Mode.SILENT, 5)),
        )
    ),
    *(
        Case(f"{fault} with a cache", inject, "live", "prepare", "restore, swapping", cached=True)
        for fault, inject in (("agent killed", i.agent_killed), ("power lost", i.power_lost))
    ),
    Case("disk of the cache full", i.disk_full(CACHE), *AT_REST, own_disk=CACHE, method="auto", cached=True),
    Case("disk of the cache full", i.disk_full(CACHE), *HOME, own_disk=CACHE, method="auto", cached=True),
]
