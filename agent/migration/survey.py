"""This module looks at what lies on both sides before anything is copied: what cannot go, cannot come, or is no media.

It says how far a comparison of both is, too. It changes nothing on either side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..copying.progress import Progress, Sometimes
from ..host.files import write_atomic
from ..media import checksums
from ..media.listing import load_media
from ..media.walk import walk
from ..model.errors import Problem
from ..model.items import Entry
from ..model.layout import Layout
from ..state.run import Run
from . import unaccounted

if TYPE_CHECKING:
    from ..media.equality import Manifest


def survey(run: Run) -> None:
    """Say what is in the bucket that is no media. Raises `Problem` for files that cannot be copied, either way."""
    with run.server.manifest() as manifest:
        manifest.load_local(all_files(run.layout, run.server.store_path, run.settings.copy.exclude))
        for line in load_media(manifest, run.bucket, run.settings.copy.exclude).lines():
            run.say(f"prepare: {line}")
        unaccounted.refuse_archived(manifest.archived(manifest.missing_locally()))


def compare(run: Run, manifest: Manifest, root: Path, what: str) -> list[str]:
    """Do what `checksums.settle` does, and say how far it is: of a large store all is read for hours."""
    progress, sometimes = Progress(*manifest.unread(), verb="compared"), Sometimes(run.say)

    def tell(files: int, size: int) -> None:
        progress.add(files, size)
        sometimes.say(f"{what}: {progress.line(0, 0)}")

    return checksums.settle(manifest, run.bucket, root, tell)


def all_files(layout: Layout, root: Path, exclude: Sequence[str]) -> Iterator[Entry]:
    """Yield what `walk` does, then raise one `Problem` for all that cannot go into a bucket."""
    unfit: list[Problem] = []
    yield from walk(root, exclude, unfit=unfit)
    if len(unfit) == 1:
        raise unfit[0]
    if unfit:
        report = layout.var / "unfit.txt"
        write_atomic(report, "".join(f"{problem.what}\n" for problem in unfit).encode("utf-8", "surrogateescape"))
        raise Problem(f"{unfit[0].what}; {len(unfit) - 1:,} more are in {report}", unfit[0].fix)
