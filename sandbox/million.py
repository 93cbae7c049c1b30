"""`python -m sandbox.million FOLDER`: the agent over a tree of small files. What the bucket lists is made up from them.

What is real: the walk, the manifest, the comparison, the processes and their memory. The store answers at once
and copying is left out, since both take what they take whatever the agent does.
"""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from agent.media.heard import hearing
from agent.media.listener import listening
from agent.media.walk import walk
from agent.migration import changes, mirror
from agent.migration.window import Clock
from agent.model.items import Object
from agent.model.layout import Layout
from agent.model.settings import HostSettings, Settings, StoreSettings
from agent.state.journal import Journal
from agent.state.run import Run, Server

from .caches import drop_caches

#: What is in each file.
BODY = b"one of very many"
LATE = 100


class Echo:
    """A bucket that holds exactly what the store does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.holds = True

    def list(self, prefix: str = "", **_: Any) -> Iterator[Object]:
        etag = hashlib.md5(BODY).hexdigest()
        return (Object(entry.path, entry.size, etag) for entry in walk(self.root, []) if self.holds)

    def head(self, key: str) -> Object:
        return Object(key, len(BODY), hashlib.md5(BODY).hexdigest())

    def delete(self, key: str) -> None:
        raise AssertionError(f"nothing was removed, so {key} must stay")


class Nothing:
    """Copies nothing: from then on the bucket holds what the store does."""

    def __init__(self, bucket: Echo) -> None:
        self.bucket = bucket

    def upload(self, *_: object) -> None:
        self.bucket.holds = True


class NoHomeserver:
    """Nobody is asked here."""


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    root = Path(sys.argv[1])
    shutil.rmtree(root / "late", ignore_errors=True)
    settings = Settings(
        host=HostSettings(media_store=str(root)),
        store=StoreSettings(endpoint="https://store.test", region="r", bucket="b"),
    )
    layout = Layout(root.with_name("places"))
    shutil.rmtree(layout.root, ignore_errors=True)
    layout.var.mkdir(parents=True)
    bucket = Echo(root)
    server = Server(layout, settings, connect=lambda store: bucket)  # type: ignore[arg-type, return-value]
    run = Run(server, Journal(layout), Nothing(bucket), NoHomeserver(), listening, hearing, say=tell)  # type: ignore[arg-type]
    record: dict[str, Any] = {"late": LATE}
    bucket.holds = False  # the first copy
    record["first_mirror"] = timed(lambda: mirror.mirror(run))
    drop_caches()
    record["unchanged_mirror"] = timed(lambda: mirror.mirror(run))
    for kind in ("warm", "cold", "walked_warm", "walked_cold"):
        with listening(root) as listener:
            _, known = changes.before_window(run, None if "walked" in kind else listener)
            for number in range(LATE):
                (root / "late").mkdir(exist_ok=True)
                (root / "late" / f"{kind}-{number}").write_bytes(BODY)
            if "cold" in kind:
                drop_caches()
            record[f"window_{kind}"] = timed(partial(changes.in_window, run, known, Clock(3600)))
    drop_caches()
    record["verify"] = timed(partial(changes.verify, run, root))
    # Not what getrusage says: there the parent's memory counts as this process's own.
    most = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    record["memory_mb"] = round(int(most.split()[1]) / 1000)
    record["memory_of_a_helper_mb"] = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)
    print(json.dumps(record))


def timed(action: Any) -> float:
    start = time.monotonic()
    action()
    return round(time.monotonic() - start, 1)


if __name__ == "__main__":
    main()
