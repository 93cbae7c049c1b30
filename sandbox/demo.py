"""The main job on the sandbox: phases up to live, then proof from outside."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import server, stacks, store, synapse
from .__main__ import up
from .clients import Clients
from .world import HOME, tell

BUCKET = "sandbox-demo"
REPORT = HOME / "report.json"

#: What the verdict says of the window.
TIMES = ("window_seconds", "services_held_seconds", "services_stopped_seconds")


def bucket_contents(bucket: str, customer_key: str = "") -> dict[str, str]:
    """Every object of the media store with the SHA-256 of its content, read from the store itself."""
    s3 = store.client()
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": base64.b64decode(customer_key)} if customer_key else {}
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]

    def digest(name: str) -> str:
        whole = hashlib.sha256()
        for block in s3.get_object(Bucket=bucket, Key=name, **key)["Body"].iter_chunks(1 << 20):
            whole.update(block)
        return whole.hexdigest()

    keys = [key for key in keys if not key.startswith(".matrix-media-store/")]
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(keys, pool.map(digest, keys), strict=True))


def prove(before: dict[str, str], token: str, media: list[synapse.Media]) -> dict[str, int]:
    """Compare the local tree from before with the bucket, and everything uploaded with what downloads."""
    tell("proof: reading every object back from the store ...")
    after = bucket_contents(BUCKET)
    lost = [path for path in before if path not in after]
    mismatches = [path for path, digest in before.items() if path in after and after[path] != digest]
    tell("proof: downloading every uploaded file through the Matrix API ...")
    differing = synapse.differing(token, media)
    tell("proof: a new upload ...")
    new = synapse.upload(token, os.urandom(50_000))
    if bucket_contents(BUCKET).get(new.key) != new.sha256:
        lost.append(new.key)
    differing += synapse.differing(token, [new])
    for path in lost + mismatches + differing:
        tell(f"proof: NOT RIGHT: {path}")
    return {"lost": len(lost), "mismatches": len(mismatches) + len(differing)}


def started(services: str = "'matrix-synapse*.service'") -> dict[str, str]:
    """What systemd makes anew whenever it starts one of these services, by the service."""
    told = server.ssh(f"systemctl show --property=Id,InvocationID {services}")
    units = [dict(line.split("=", 1) for line in part.splitlines()) for part in told.strip().split("\n\n")]
    return {unit["Id"]: unit["InvocationID"] for unit in units}


def main() -> int:
    up(fresh=True)
    token, media = synapse.seeded_media()
    before = synapse.tree()
    tell(f"the media store has {len(before):,} files; its stack is stacks/Pulumi.sandbox-demo.yaml")
    stack = stacks.existing("sandbox-demo", BUCKET)
    for phase in ("prepare", "mirror"):
        tell(f"pulumi config set phase {phase} && pulumi up")
        stack.phase(phase, echo=True)
    since = started()
    tell("pulumi config set phase live && pulumi up, while 16 clients upload, download and look at thumbnails")
    with Clients(token, media[:100]) as clients:
        stack.phase("live", echo=True)
    restarted = sum(since.get(unit) != now for unit, now in started().items())
    verdict: dict[str, Any] = json.loads(stack.must("stack", "output", "server", "--json"))
    proof = prove(before, token, [*media, *clients.uploaded])
    report = {
        "phase": verdict["phase"],
        "files": verdict["files"],
        "bytes": verdict["bytes"],
        "mismatches": proof["mismatches"],
        "lost": proof["lost"],
        **{name: verdict[name] for name in TIMES if name in verdict},
        "requests": len(clients.waits),
        "requests_failed": len(clients.failures),
        "longest_wait_seconds": round(clients.longest(), 2),
        "services_restarted": restarted,
    }
    serving = server.ssh(
        "findmnt --noheadings --output FSTYPE /matrix/synapse/storage/media-store", check=False
    ).strip()
    REPORT.write_text(json.dumps(report) + "\n")
    print(json.dumps(report), flush=True)
    right = (
        report["phase"] == "live"
        and report["lost"] == report["mismatches"] == 0
        and report["files"] >= len(before) >= 1000
        and serving.startswith("fuse")
    )
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
