"""This module begins a move to another store, and gives one up: it lays what the new bucket's mount starts with.

What is true if the power fails: the store that serves, and all that its mount starts with, stay as they are. Files of
the new store have names of their own until the move is decided; only the staging path's unit is of the new store.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from ..copying import trial
from ..host.files import write_atomic
from ..media.listing import SYNAPSES_OWN
from ..model.errors import Problem
from ..model.layout import STAGING_UNIT
from ..model.phases import Owed
from ..model.settings import StoreSettings
from ..serving import mount, playbook, proof, write_cache
from ..serving.units import planned_files
from ..state import moving
from ..state.journal import Journal
from ..state.run import Run, Server
from ..store import ownership
from . import preflight
from .mount import lay_programs
from .packages import install_packages


def is_another(before: Server, now: Server) -> bool:
    """Return whether new settings name another store than the one in use: the media move there where that serves."""
    old, new = before.settings.store, now.settings.store
    is_same = (old.endpoint, old.bucket, old.prefix) == (new.endpoint, new.bucket, new.prefix)
    return bool(old.bucket) and old.name != new.name and not is_same


def begin(run: Run) -> None:
    """Check the new store, make its bucket this server's, and lay what its mount takes; `run` has its settings.

    To begin again is to go on. Raises `Problem` where a check fails, or the new bucket does not do what it must; the
    store that serves stays as it is.
    """
    layout, journal = run.layout, run.journal
    before = _as_laid(run)
    server = replace(run.server, layout=layout.of_move)
    run = replace(run, server=server, copier=run.copier.to(server))
    old, new = before.settings.store, run.settings.store
    if playbook.may_mount(before) or playbook.may_mount(server):
        raise Problem(
            "mount.managedBy is playbook, and its mount stays with one bucket",
            "set it to stack for the move, and back afterwards, with the playbook's lines for the new store",
        )
    _refuse_nested(old, new)
    preflight.check(run)
    ownership.check_serves(before.bucket, server.ids, old.bucket, journal.epoch)
    if ownership.is_same(before.bucket, run.bucket):
        raise Problem(
            f"{new.path} at {new.endpoint} is the bucket {old.path} at {old.endpoint} by another address",
            "name another bucket",
        )
    known = moving.read(layout)
    if known and known.goes_to(asdict(new)):
        returns = known.returns
    else:
        moving.forget_manifest(layout.of_move)
        returns = ownership.check(run.bucket, server.ids, new.bucket, new.adopt) is not None
        if not returns and not new.adopt:
            _refuse_filled(run)
    install_packages(run.system, run.say)
    lay_programs(server)
    write_cache.lay(server)
    epoch = ownership.claim(run.bucket, server.ids, new.bucket, new.adopt)
    files = planned_files(replace(server, layout=layout), journal)
    sections = {name: {s: asdict(getattr(each.settings, s)) for s in moving.SECTIONS} for name, each in
                (("to", server), ("left", before))}  # fmt: skip
    moving.write(layout, moving.Moving(**sections, epoch=epoch, files=moving.encoded(files), returns=returns))
    _lay_staging(server, journal)
    try:
        trial.try_copies(server, journal.owner, run.say)
        mount.start_staging(server, journal.owner)
        proof.write_probe(server.system, run.bucket, journal.owner, layout.staging)
    finally:
        mount.stop_staging(server)
    run.say(f"move: bucket {new.path} at {new.endpoint} takes and gives back files, by itself and by its mount")


def _as_laid(run: Run) -> Server:
    """Return the server with the settings that lie on it: those of the store that serves."""
    return replace(run.server, settings=Server.load(run.layout).settings)


def _lay_staging(server: Server, journal: Journal) -> None:
    """Lay the keys of that server's store, and the staging path's unit, which mounts it."""
    if server.system.shows_same(server.layout.staging, server.store_path):
        raise Problem("the staging path's mount serves still", "run pulumi up again")
    mount.stop_staging(server)
    wanted: set[Path] = {server.layout.rclone_conf, server.layout.credentials, server.layout.units / STAGING_UNIT}
    for path, (data, mode) in planned_files(server, journal).items():
        if path in wanted:
            write_atomic(path, data, mode)
    server.system.systemctl("daemon-reload")


def _refuse_nested(old: StoreSettings, new: StoreSettings) -> None:
    """Raise `Problem` where one of both stores lies in the other."""
    if (old.endpoint, old.bucket) != (new.endpoint, new.bucket):
        return
    if old.beginning.startswith(new.beginning) or new.beginning.startswith(old.beginning):
        raise Problem(
            f"the media would move from {old.path} to {new.path}, one of which lies in the other",
            "name another bucket, or a store.prefix beside the other",
        )


def _refuse_filled(run: Run) -> None:
    """Raise `Problem` where media lie in a bucket that was never this server's."""
    store = run.settings.store
    for folder in SYNAPSES_OWN:
        if found := next(run.bucket.list(f"{folder}/", page=1), None):
            raise Problem(
                f"bucket {store.path} holds media already, {found.key!r} among them, and was never this server's",
                "name an empty bucket, or a store.prefix of its own; only if these media are this server's, set "
                "adopt to true for that store",
            )


def give_up(run: Run) -> None:
    """Give up a move that was begun and not decided; what was copied stays in the new bucket.

    `run` has the settings of the store that serves. Nothing is done where there is none, or it is decided.
    """
    found = moving.read(run.layout)
    if found is None:
        return
    if moving.is_brought_in(run.layout, found):
        if Owed.LEFT not in run.journal.owed:  # all was done but to forget it
            moving.forget(run.layout)
        return
    server = _as_laid(run)
    _lay_staging(server, run.journal)
    moving.forget(run.layout)
    run.say(f"move: given up; {server.settings.store.path} serves on, and what was copied stays in the other bucket")
