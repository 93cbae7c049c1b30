"""Runs on the server, as the homeserver's user: so many clients read media at once, or write new ones.

Arguments: folder, `read` or `write`, number of clients, number of files. Prints files a second.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

#: What is written: about a picture as phones make thumbnails of it, in bytes.
WRITTEN = 60_000


def some(root: Path, count: int) -> list[Path]:
    """The first files of the store: each original with its thumbnails, as people look at them."""
    found: list[Path] = []
    for folder, folders, names in os.walk(root / "local_content"):
        folders.sort()
        for original in (Path(folder, name) for name in sorted(names)):
            thumbnails = root / "local_thumbnails" / original.relative_to(root / "local_content")
            found += [original, *(sorted(thumbnails.iterdir()) if thumbnails.is_dir() else ())]
        if len(found) >= count:
            break
    return found[:count]


def main() -> None:
    root, what, clients, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    body = os.urandom(WRITTEN)

    def write(number: int) -> None:
        file = root / "local_content" / "zz" / f"{number % 16:02}" / f"bench-{os.getpid()}-{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)

    paths = some(root, count) if what == "read" else []
    with ThreadPoolExecutor(clients) as pool:
        start = time.monotonic()
        list(pool.map(Path.read_bytes, paths) if what == "read" else pool.map(write, range(count)))
        took = time.monotonic() - start
    print(round(count / took, 1))


if __name__ == "__main__":
    main()
