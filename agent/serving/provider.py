"""This module keeps synapse-s3-storage-provider's nightly job off the bucket.

The playbook runs it by a timer: for each medium it asks its bucket for the object, and where it is there, removes the
local file. Over a mount of the same bucket, that file is the object itself, and the only copy.
https://github.com/matrix-org/synapse-s3-storage-provider
"""

from __future__ import annotations

from ..host.systemd import RUNNING
from ..model.errors import Problem
from ..model.phases import Side
from ..state.journal import Journal
from ..state.run import Server

#: The value of host.storageProvider of a stack whose bucket is the provider's, and which takes over from it.
FROM = "from"
#: The playbook's units, the timer first.
UNITS = ("matrix-synapse-s3-storage-provider-migrate.timer", "matrix-synapse-s3-storage-provider-migrate.service")


def trouble(server: Server) -> Problem | None:
    """Return why the bucket must not serve here, or None where the provider's job is not on this server.

    Where the stack takes over from the provider, its job may be laid: it is kept off from the first update on, and must
    not run on from before.
    """
    active = server.system.units(UNITS)
    laid = {unit for unit in UNITS if (server.layout.units / unit).exists()}
    found = sorted(laid | active.keys())
    if not found:
        return None
    if server.settings.host.storage_provider != FROM:
        return Problem(
            f"{found[-1]} of synapse-s3-storage-provider is on this server: its nightly job removes each local file "
            "whose object is in its bucket, and with the bucket mounted that is the only copy",
            f"if its bucket is the stack's, set host.storageProvider to {FROM}; else take the "
            "matrix_synapse_ext_synapse_s3_storage_provider_* lines out of vars.yml and run the playbook before phase "
            "live; docs/runbook.md has both ways (synapse-s3-storage-provider)",
        )
    job = UNITS[1]
    if active.get(job) in RUNNING:
        return Problem(
            f"{job} runs, from before it was kept off: it removes local files whose objects are in its bucket",
            f"wait until it has ended (systemctl status {job}), or stop it, then run pulumi up again",
        )
    if not server.layout.drop_in(job).exists():
        return Problem(
            f"nothing keeps {job} off: its drop-in {server.layout.drop_in(job)} is gone",
            "run pulumi up in this phase once more: it lays what is missing",
        )
    return None


def check_kept_off(server: Server) -> None:
    """Raise `Problem` where the provider's job is on this server and could remove media from the bucket."""
    found = trouble(server)
    if found:
        raise found


def check_may_run(journal: Journal, storage_provider: str) -> None:
    """Raise `Problem` unless the local store serves, and will go on to: only then may the job remove files.

    Where the stack takes over from the provider (`host.storage_provider`), it never may: one that began before a window
    would remove files in it.
    """
    if journal.serving is not Side.LOCAL or journal.window:
        raise Problem(
            "the bucket serves as the media store: the provider's job would remove the only copy of each medium",
            "take the provider out of vars.yml; see docs/runbook.md (synapse-s3-storage-provider)",
        )
    if storage_provider == FROM:
        raise Problem(
            "this stack takes over from synapse-s3-storage-provider: its job would remove files meanwhile",
            "to go on with the provider instead, run pulumi destroy",
        )
