"""synapse-s3-storage-provider's nightly job: refused where the bucket is to serve, and kept away where it does."""

from __future__ import annotations

import functools
from pathlib import Path

from sandbox import server

from .world import STORE, Begin, mounted, on_disk, subset, wait_for

UNIT = "matrix-synapse-s3-storage-provider-migrate"
#: What the job does: asks the bucket for each medium, and where it is there, removes the local file.
JOB = """
import os, sys, urllib.request
root, bucket = sys.argv[1:3]
held = set(open("/opt/objects").read().splitlines())
for folder, _, files in os.walk(root):
    for name in files:
        path = os.path.join(folder, name)
        if os.path.relpath(path, root) in held:
            os.unlink(path)
"""


def lay_job(keys: list[str]) -> None:
    on_disk(Path("/opt/job.py")).write_text(JOB)
    on_disk(Path("/opt/objects")).write_text("\n".join(keys))
    units = on_disk(Path("/etc/systemd/system"))
    (units / f"{UNIT}.service").write_text(
        f"[Service]\nType=oneshot\nUser=matrix\nExecStart=/usr/bin/python3 /opt/job.py {STORE} bucket\n"
    )
    (units / f"{UNIT}.timer").write_text("[Timer]\nOnCalendar=*:*:0/2\nAccuracySec=100ms\n")
    server.ssh(f"systemctl daemon-reload; systemctl start {UNIT}.timer")


def remove_job() -> None:
    server.ssh(f"systemctl stop {UNIT}.timer {UNIT}.service", check=False)
    for kind in ("service", "timer"):
        (on_disk(Path("/etc/systemd/system")) / f"{UNIT}.{kind}").unlink(missing_ok=True)
    server.ssh("systemctl daemon-reload")


def elapses_twice() -> None:
    """The timer's time comes."""
    for _ in range(2):
        wait_for(functools.partial(_elapsed_since, told("LastTriggerUSec", "timer")), every=0.2)


def _elapsed_since(last: str) -> bool:
    return told("LastTriggerUSec", "timer") != last


def ran() -> str:
    """When the job itself ran last."""
    return told("ExecMainStartTimestamp", "service")


def told(what: str, kind: str) -> str:
    return server.ssh(f"systemctl show --value --property={what} {UNIT}.{kind}").strip()


def test_the_providers_nightly_job_loses_no_medium_in_any_phase(begin: Begin) -> None:
    """Review, entry 9."""
    migration = begin("nightly")
    migration.up("mirror")
    lay_job([])  # its bucket has nothing yet: it removes nothing
    refused = migration.try_up("live")
    assert refused.status != 0 and f"{UNIT}.timer of synapse-s3-storage-provider is on this server" in refused.output
    assert not mounted(STORE)
    preview = migration.stack.call("preview")
    assert "its nightly job removes each local file" in preview.output, preview.output
    remove_job()
    migration.up("live")
    lay_job(sorted(migration.objects()))  # a run of the playbook lays it again, for the same bucket
    server.ssh(f"systemctl start {UNIT}.service", check=False)
    elapses_twice()
    assert ran() == "", "it was skipped each time"
    migration.assert_serves_from_bucket()
    migration.up("clean")
    elapses_twice()
    assert ran() == ""
    assert subset(migration.before, migration.objects()) == []
    remove_job()
    migration.up("prepare")
    migration.assert_serves_locally()
