"""This module is the table of transitions: between which phases, what each does, and what a preview says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ..model.errors import Problem
from ..model.phases import Owed, Phase, route
from ..serving import mount
from ..state.journal import Journal
from ..state.run import Run
from ..store import ownership
from ..store.bucket import STORE_TROUBLE
from . import adopt, clean, cutover, mirror, restore, settle, survey

if TYPE_CHECKING:
    from ..model.protocol import Counts


class Edge(NamedTuple):
    """An `Edge` is a transition; `does` returns its numbers, where it has some, and a window commits by itself."""

    begins: Phase
    ends: Phase
    does: Callable[[Run], Counts | None]
    #: For a preview, with `{services}` for those that stop, and `{mount}` for the one that is taken over.
    says: str
    #: The same where the services are held, if they can be in this one.
    says_held: str = ""


def _prepare(run: Run) -> None:
    store = run.settings.store
    run.journal.epoch = ownership.claim(run.bucket, run.server.ids, store.bucket, store.adopt)
    mount.start_staging(run.server, run.journal.owner)
    survey.survey(run)


def _mirror(run: Run) -> Counts:
    if run.settings.copy.method == "rsync":
        mount.start_staging(run.server, run.journal.owner)
    return mirror.mirror(run)


def _local(run: Run) -> None:
    mount.stop_staging(run.server)
    try:
        ownership.release(run.bucket, run.server.ids)
    except (Problem, *STORE_TROUBLE) as error:
        # The store is local: a bucket that cannot be reached any more must not hold the server back.
        run.say(f"the bucket still names this server as its owner: {error}")


def _keep_copies(run: Run) -> None:
    """Do nothing: to remove the copies in the bucket would only make the next mirror longer."""


EDGES = (
    Edge(
        Phase.LOCAL, Phase.PREPARE, _prepare,
        "mount the bucket at the staging path and see it answer; claim the bucket for this server",
    ),
    Edge(
        Phase.PREPARE, Phase.MIRROR, _mirror,
        "copy the local store into the bucket and compare every file; services run on",
    ),
    Edge(
        Phase.MIRROR, Phase.LIVE, cutover.go_live,
        "copy what is new; stop {services}; copy the last files; the bucket becomes the media store; "
        "start them again; prove it (old files, a new file, the homeserver)",
        "copy what is new; hold {services} for less than a second, none is stopped; copy the last files; the bucket "
        "becomes the media store; prove it (old files, a new file, the homeserver)",
    ),
    Edge(
        Phase.LIVE, Phase.CLEAN, clean.clean,
        "compare every file of the local copy once more, then remove the local copy",
    ),
    Edge(
        Phase.CLEAN, Phase.LIVE, restore.refill,
        "fetch the whole store from the bucket into a local copy; services run on",
    ),
    Edge(
        Phase.LIVE, Phase.MIRROR, restore.back_to_local,
        "fetch what is new; stop {services}; fetch the last files; the local copy becomes the media store "
        "again; start them; list the bucket once more",
        "fetch what is new; hold {services} for less than a second, none is stopped; fetch the last files; the local "
        "copy becomes the media store again; list the bucket once more",
    ),
    Edge(Phase.MIRROR, Phase.PREPARE, _keep_copies, "nothing on the server; the copies in the bucket stay"),
    Edge(Phase.PREPARE, Phase.LOCAL, _local, "unmount the staging path; give the bucket free"),
)  # fmt: skip

#: The transition of a server where the bucket serves already, by an earlier mount.
ADOPT = Edge(
    Phase.LOCAL, Phase.CLEAN, adopt.adopt,
    "take over the mount of the bucket that serves, {mount}; stop {services}; mount the bucket in its place; start "
    "them again; prove it (old files, a new file, the homeserver)",
    "take over the mount of the bucket that serves, {mount}; hold {services} for less than a second, none is stopped; "
    "mount the bucket in its place; prove it (old files, a new file, the homeserver)",
)  # fmt: skip
_PROVE = "prove that the bucket serves (old files, a new file, the homeserver)"
#: The transition of a server whose bucket serves, and was not proven to yet, by its phase.
UNPROVEN: Mapping[Phase, Edge] = MappingProxyType(
    {
        Phase.LIVE: Edge(Phase.LIVE, Phase.LIVE, cutover.prove_live, _PROVE),
        Phase.CLEAN: Edge(Phase.CLEAN, Phase.CLEAN, adopt.prove, _PROVE),
    }
)
#: The transition of a server that came home, and did not look yet whether all did.
UNLISTED = Edge(
    Phase.MIRROR, Phase.MIRROR, settle.settle_owed, "list the bucket once more for what nobody told of on the way home"
)

_BY_ENDS: Mapping[tuple[Phase, Phase], Edge] = MappingProxyType({(edge.begins, edge.ends): edge for edge in EDGES})


def way(journal: Journal, target: Phase, adopts: bool = False) -> list[Edge]:
    """Return the transitions from what the journal says to a phase; `adopts` says that an earlier mount serves."""
    if adopts and target is not Phase.LOCAL:
        return [ADOPT]
    edges = [_BY_ENDS[ends] for ends in route(journal.phase, target)]
    if journal.phase in UNPROVEN and Owed.PROOF in journal.owed and target in UNPROVEN:
        return [UNPROVEN[journal.phase], *edges]
    if journal.phase is Phase.MIRROR and Owed.LISTING in journal.owed:
        return [UNLISTED, *edges]
    return edges
