"""Nobody notices the cutover, a new key, or the way home: services stand still for a moment, and are not stopped."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from sandbox import server, synapse
from sandbox.clients import Clients
from sandbox.demo import started
from sandbox.server import matrix
from sandbox.server.image import MATRIX_ID
from sandbox.synapse import Media

from .world import STORE, Begin, hash_on_server, on_disk

#: Seconds that a client may wait longer than without a cutover, and for which services may stand still. It is one run,
#: on a machine that does much else: mostly these are 0.5 and 0.15.
LONGER, STILL = 2.0, 1.0
#: Writers of each kind, and how often they are held.
WRITERS, ROUNDS = 13, 4
STOOD = re.compile(r"services stood still for ([0-9.]+) s")
SERVICES = "'matrix-synapse*.service' matrix-postgres.service"
CONFIGURATION = Path("/matrix/synapse/config")


@pytest.mark.alone
def test_nobody_who_uploads_or_looks_at_media_notices_the_cutover_another_mount_or_the_way_home(begin: Begin) -> None:
    migration = begin("held", thin=0, kind="docker")
    migration.up("mirror")
    since, uploaded = started(SERVICES), list[Media]()
    for phase, memory in (("live", "2G"), ("live", "3G"), ("mirror", "3G")):
        migration.stack.set("mount.memoryMax", memory)
        with Clients(migration.token, migration.media[:100]) as clients:
            time.sleep(10)  # what they wait without a swap
            before, began = clients.longest(), time.monotonic()
            output = migration.up(phase)
            ended = time.monotonic()
        uploaded += clients.uploaded
        assert (stood := STOOD.search(output)) and "are stopped" not in output, output
        assert clients.failures == []
        assert len(clients.waits) > 300 and len(clients.uploaded) > 100
        longest = sorted(clients.waits, key=lambda wait: -wait.seconds)[:5]
        assert clients.longest(began, ended) < before + LONGER, (before, output, longest)
        assert started(SERVICES) == since and len(since) >= 3
        assert float(stood[1]) < STILL
        verdict = migration.verdict()
        assert "services_stopped_seconds" not in verdict and verdict["services_held_seconds"] < STILL
        assert synapse.differing(migration.token, uploaded) == []
        if phase == "live":
            objects = migration.objects()
            assert [item.key for item in uploaded if objects.get(item.key) != item.sha256] == []
    tree = hash_on_server(STORE)
    assert [item.key for item in uploaded if tree.get(item.key) != item.sha256] == []


@pytest.mark.nightly
def test_writers_that_are_held_in_their_middle_end_with_what_they_wrote(begin: Begin) -> None:
    """Between makedirs and open, between open and the last write, and before the database knows: fifty times each."""
    migration = begin("halves", thin=5, kind="docker")
    shutil.copy(Path(__file__).with_name("writers_at_work.py"), on_disk(CONFIGURATION))
    known: dict[str, str] = {}
    for turn in range(ROUNDS):
        migration.up("mirror")
        signal = CONFIGURATION / f"held{turn}"
        with writers(f"w{turn}", signal.name) as process:
            assert process.stdout and process.stdout.readline() == "ready\n"
            migration.stack.set("phase", "live")
            output = ""
            with migration.stack.popen("up", "--yes", "--skip-preview", stdout=subprocess.PIPE) as up:
                assert up.stdout
                for line in up.stdout:
                    output += line
                    if "cutover: holding" in line:
                        on_disk(signal).touch()
            assert "services stood still for" in output, output
            said = process.stdout.readline()
            assert said.startswith("{"), said
            known.update(json.loads(said))
    assert len(known) == 3 * ROUNDS * WRITERS
    objects = migration.objects()
    assert [name for name, digest in known.items() if objects.get(name) != digest] == []


def writers(word: str, signal: str) -> subprocess.Popen[str]:
    """In a container that sees the store as the homeserver's does."""
    sees = "type=bind,src=/matrix/synapse/storage,dst=/media,bind-propagation=slave"
    image, program = matrix.IMAGE.format(matrix.VERSIONS[0]), "/data/writers_at_work.py"
    return server.popen(
        f"docker run --rm --network none --user {MATRIX_ID}:{MATRIX_ID} --mount {sees} "
        "--mount type=bind,src=/matrix/synapse/config,dst=/data,ro "
        f"--entrypoint python3 {image} {program} /media/media-store {word} {WRITERS} /data/{signal}"
    )
