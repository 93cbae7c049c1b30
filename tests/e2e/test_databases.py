"""What was purged, by the word of databases that the playbook's own client does not reach as it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import server, synapse
from sandbox.server import matrix
from sandbox.server.image import MATRIX_ID
from sandbox.world import ROOT

from .world import Begin, on_disk, wait_for

PROGRAM = Path("/usr/local/sbin/synapse-psql")
CONFIGURATION = "/matrix/synapse/config/homeserver.yaml"
SERVICES = "matrix-synapse-worker-media-repository-0 matrix-synapse"
SUPERUSER = "docker exec matrix-postgres psql -q -U synapse -d postgres -c"
ELSEWHERE = (
    f"mkdir /var/lib/elsewhere && chown {MATRIX_ID} /var/lib/elsewhere && docker run -d --name elsewhere "
    f"--network matrix-postgres --user={MATRIX_ID}:{MATRIX_ID} --cap-drop=ALL --tmpfs=/tmp --tmpfs=/var/run/postgresql "
    "--env-file=/matrix/postgres/env-postgres-server --mount type=bind,src=/etc/passwd,dst=/etc/passwd,ro "
    "--mount type=bind,src=/var/lib/elsewhere,dst=/var/lib/postgresql/data "
    f"{matrix.IMAGE.format(matrix.VERSIONS[0])} postgres -c listen_addresses='*'"
)


def of_another_name() -> str:
    """Rename the database in the playbook's PostgreSQL, and return the last line of a program that reaches it."""
    server.ssh(f"{SUPERUSER} 'ALTER DATABASE synapse RENAME TO synapse_production'")
    server.ssh(f"sed -i 's/dbname: synapse/dbname: synapse_production/' {CONFIGURATION}")
    (line,) = re.findall(r"the last line is `(exec .*?)`", (ROOT / "docs/runbook.md").read_text())
    return str(line)


def elsewhere() -> str:
    """Move the tables to a server that is not the playbook's, whose own stays there, empty."""
    server.ssh(ELSEWHERE)
    wait_for(lambda: "accepting" in server.ssh("docker exec elsewhere pg_isready -h elsewhere -U synapse", check=False))
    server.ssh("docker exec matrix-postgres pg_dump -U synapse synapse | docker exec -i elsewhere psql -q -U synapse")
    server.ssh(f"{SUPERUSER} 'DROP DATABASE synapse'", "-c 'CREATE DATABASE synapse TEMPLATE template0'")
    server.ssh(f"sed -i 's/host: matrix-postgres/host: elsewhere/' {CONFIGURATION}")
    return 'exec docker exec elsewhere psql -U synapse "$@" -d synapse'


@pytest.mark.nightly
@pytest.mark.parametrize("move", [of_another_name, elsewhere], ids=lambda move: str(move.__name__))
def test_what_was_purged_goes_by_the_word_of_a_program_as_the_runbook_has_it(
    begin: Begin, move: Callable[[], str]
) -> None:
    migration = begin("database", kind="docker", thin=20)
    server.ssh(f"systemctl stop {SERVICES}")
    last_line = move()
    server.ssh(f"systemctl start {SERVICES}")
    wait_for(server.answers, seconds=90, every=0.5)
    migration.up("mirror")
    purged = migration.media[0]
    assert purged.key in migration.objects()
    migration.purge(purged)
    on_disk(PROGRAM).write_text(f"#!/bin/sh\n{last_line}\n")
    on_disk(PROGRAM).chmod(0o700)
    migration.stack.set("host.database", str(PROGRAM))
    output = migration.up("live")
    assert "counts as purged" not in output, "it could be asked"
    migration.assert_serves_from_bucket()
    assert purged.key not in migration.objects()
    migration.up("prepare")
    migration.assert_serves_locally()
    assert purged.key not in synapse.tree()
