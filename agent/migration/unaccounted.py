"""This module decides about files that are on one side only: was a file purged by Synapse, or was it lost?

It is the one place that says so, for every transition and either side. That a file is absent proves nothing: a disk may
have been set back, or an object lost. Only what Synapse's own tables know no longer, and no more of it than the limit
allows, was purged. All else stays where it is, and is named. A file that is only on one side and must not stay there,
an administrator must account for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ..host.files import write_atomic
from ..host.linked import Store
from ..media import checksums
from ..media.deletions import check_deletions
from ..media.equality import Manifest
from ..media.synapse_db import SynapseDatabase
from ..model.errors import Problem
from ..model.phases import Owed
from ..state.run import Run
from .aside import keep


def purged(run: Run, manifest: Manifest, names: Sequence[str]) -> set[str]:
    """Return those of the names whose media Synapse purged; none of them where its tables cannot be asked."""
    return database(run).purged([*names], manifest.originals()) if names else set()


def database(run: Run) -> SynapseDatabase:
    """Return Synapse's database, as the settings say where it is."""
    beside = run.server.store_path.parent
    return SynapseDatabase(run.settings.host.database, run.system, run.journal.owner, run.say, beside)


def purged_of_ours(run: Run, manifest: Manifest, names: Sequence[str], where: str) -> set[str]:
    """Return those of the names that this program put on the other side once, are gone from `where`, and were purged.

    Raises `Problem` where more of them were than is believed at once.
    """
    found = purged(run, manifest, [path for path in names if manifest.is_ours(path)])
    check_few(run, manifest, [*found], where)
    return found


def check_few(run: Run, manifest: Manifest, gone: Sequence[str], where: str) -> None:
    """Raise `Problem` where so many names are gone from one side that something else than purges must be the cause."""
    check_deletions(run.settings.migration.deletion_limit_percent, manifest.uploaded_count(), gone, where)


def remove_from_bucket(run: Run, manifest: Manifest, here: str = "the local store", there: str = "the bucket") -> int:
    """Remove objects of ours from the bucket whose files are gone here since Synapse purged them; return how many.

    `here` and `there` say which sides these are; the manifest has both by now. Services run meanwhile: in a window
    nothing is removed. Raises `Problem` where too many are gone.
    """
    gone = manifest.gone_locally_but_not_remotely()
    found = purged_of_ours(run, manifest, gone, here)
    if found:
        run.say(f"{len(found):,} files were purged in {here}; removing them from {there}")
        checksums.delete_objects(run.bucket, sorted(found))
        manifest.forget(found)
    _name(run, [path for path in gone if path not in found], here, there)
    return len(found)


def pay_purges(run: Run) -> None:
    """Remove from the bucket what was purged in the last cutover's window, where that is owed. Raises `Problem`."""
    journal = run.journal
    if Owed.PURGES not in journal.owed:
        return
    with run.server.manifest() as manifest:
        remove_from_bucket(run, manifest)
    journal.owed.discard(Owed.PURGES)
    journal.save()


def set_aside_here(run: Run, manifest: Manifest, root: Store, gone: Sequence[str]) -> int:
    """Move those files out of `root` that Synapse purged while the bucket served, and return how many.

    They must not come back; none is deleted. `gone` are names of ours that are in `root` and no longer in the bucket.
    Raises `Problem` where too many were purged.
    """
    found = purged_of_ours(run, manifest, gone, "the bucket")
    if found:
        kept = {keep(run, root, path, "removed") for path in sorted(found)}
        places = ", ".join(sorted(map(str, kept)))
        run.say(f"{len(found):,} files were purged while the bucket served; they are kept in {places}")
    _name(run, [path for path in gone if path not in found], "the bucket", "the local store")
    return len(found)


def _name(run: Run, names: list[str], gone_from: str, stay_in: str) -> None:
    """List files that are gone from one side, and that nobody is known to have purged."""
    if not names:
        return
    report = run.layout.var / "unaccounted.txt"
    write_atomic(report, ("\n".join(names) + "\n").encode())
    run.say(
        f"{len(names):,} files are gone from {gone_from}, {names[0]!r} first, and Synapse's database does not say that "
        f"they were purged: they stay in {stay_in}; all names are in {report}"
    )


def refuse_archived(archived: Sequence[str]) -> None:
    """Raise `Problem` for objects that are needed and lie in an archive, where nobody can read them."""
    if archived:
        raise Problem(
            f"{len(archived):,} objects of the media store are in an archive class of the bucket, {archived[0]!r} "
            "first: they cannot be read",
            "restore them there (for AWS: aws s3api restore-object; it takes hours), copy each onto itself as "
            "STANDARD, take the lifecycle rule away that archives them, and run pulumi up again",
        )


def unconfirmed(run: Run, names: list[str]) -> list[str]:
    """Return those of the names that migration.confirmed does not have."""
    confirmed = set(run.settings.migration.confirmed)
    return [name for name in names if name not in confirmed]


def refuse(run: Run, names: list[str], state: str) -> NoReturn:
    """List all names in a file, and raise `Problem` with the first name and how things stand."""
    report = run.layout.var / "unresolved.txt"
    write_atomic(report, ("\n".join(names) + "\n").encode())
    raise Problem(
        f"{len(names):,} files of the local copy are not in the bucket with the same content, {names[0]!r} among them; "
        f"{state}",
        f"the whole list is in {report}: look at them, copy into the media store what it lacks, and name in "
        "migration.confirmed those that may go",
    )
