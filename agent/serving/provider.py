"""This module keeps synapse-s3-storage-provider's nightly job off the bucket.

The playbook runs it by a timer: for each medium it asks its bucket for the object, and where it is there, removes the
local file. Over a mount of the same bucket, that file is the object itself, and the only copy.
https://github.com/matrix-org/synapse-s3-storage-provider
"""

from __future__ import annotations

from ..model.errors import Problem
from ..model.phases import Side
from ..state.journal import Journal
from ..state.run import Server

#: The playbook's units, the timer first.
UNITS = ("matrix-synapse-s3-storage-provider-migrate.timer", "matrix-synapse-s3-storage-provider-migrate.service")


def trouble(server: Server) -> Problem | None:
    """Return why the bucket must not serve here, or None where the provider's job is not on this server."""
    laid = {unit for unit in UNITS if (server.layout.units / unit).exists()}
    found = sorted(laid | server.system.units(UNITS).keys())
    if not found:
        return None
    return Problem(
        f"{found[-1]} of synapse-s3-storage-provider is on this server: its nightly job removes each local file whose "
        "object is in its bucket, and with the bucket mounted that is the only copy",
        "take the matrix_synapse_ext_synapse_s3_storage_provider_* lines out of vars.yml and run the playbook before "
        "phase live; docs/runbook.md has both ways (synapse-s3-storage-provider)",
    )


def check_gone(server: Server) -> None:
    """Raise `Problem` where the provider's job is on this server."""
    found = trouble(server)
    if found:
        raise found


def check_may_run(journal: Journal) -> None:
    """Raise `Problem` unless the local store serves, and will go on to: only then may the job remove files."""
    if journal.serving is not Side.LOCAL or journal.window:
        raise Problem(
            "the bucket serves as the media store: the provider's job would remove the only copy of each medium",
            "take the provider out of vars.yml; see docs/runbook.md (synapse-s3-storage-provider)",
        )
