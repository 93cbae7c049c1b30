"""A media store of realistic proportions: six files an image, log-normal sizes, nothing that compresses."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from pathlib import Path

from sandbox import server, synapse
from sandbox.world import HOME, SERVER, run

#: An image brings five thumbnails; they dominate the count.
THUMBNAILS = ("32-32-image-jpeg-crop", "96-96-image-jpeg-crop", "320-240-image-jpeg-scale",
              "640-480-image-jpeg-scale", "800-600-image-jpeg-scale")  # fmt: skip
#: Mean of the logarithm of the size in bytes, and its deviation: about 80 KB and 8 KB in the middle.
ORIGINAL, THUMBNAIL = (11.3, 1.4), (9.0, 0.8)
LARGEST = 32 << 20
_LETTERS = string.ascii_letters
_POOL = random.Random(1).randbytes(LARGEST)


def names(count: int, seed: int) -> Iterator[tuple[str, int]]:
    """Paths as Synapse makes them, with sizes in bytes. Pure."""
    chance = random.Random(seed)
    made = 0
    while made < count:
        media_id = "".join(chance.choices(_LETTERS, k=24))
        place = f"{media_id[:2]}/{media_id[2:4]}/{media_id[4:]}"
        kinds = [
            (f"local_content/{place}", ORIGINAL),
            *((f"local_thumbnails/{place}/{t}", THUMBNAIL) for t in THUMBNAILS),
        ]
        for path, (middle, deviation) in kinds[: count - made]:
            yield path, min(int(chance.lognormvariate(middle, deviation)), LARGEST)
            made += 1


def lay(root: Path, count: int, seed: int) -> int:
    """Write so many files; returns their bytes together."""
    chance, total = random.Random(seed), 0
    for path, size in names(count, seed):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        start = chance.randrange(LARGEST - size + 1)
        file.write_bytes(_POOL[start : start + size])
        total += size
    server.own(root)
    return total


def fill(count: int) -> int:
    """The server's media store has so many files, and nothing else; returns their bytes together."""
    store = SERVER / synapse.STORE
    run("rm", "-rf", store)
    store.mkdir()
    return add(count)


def add(count: int) -> int:
    """The server's media store has so many files more; returns their bytes together. They are made once."""
    kept, store = HOME / "bench" / f"media-{count}", SERVER / synapse.STORE
    done = kept.with_suffix(".bytes")
    if not done.exists():
        run("rm", "-rf", kept)
        kept.mkdir(parents=True)
        done.write_text(str(lay(kept, count, seed=count)))
    run("cp", "--archive", f"{kept}/.", store)
    server.own(store)
    return int(done.read_text())
