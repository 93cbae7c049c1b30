"""This module puts the mount on the server: programs, credentials, units, and the guard before services that write.

What is true if the power fails: the running mount has the files it started with, and the journal says that it is to be
mounted anew; the next run does so. Files that do not serve are taken back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..copying import trial
from ..host.fetch import fetch
from ..host.files import sync_folder, write_atomic
from ..model.errors import Problem
from ..model.layout import DROP_IN, OUR_UNITS, PLAYBOOK_UNIT, RECOVER_UNIT, Layout
from ..model.phases import Owed, Phase, Side
from ..model.settings import shown
from ..serving import earlier_mount, metrics, mount, playbook, proof, write_cache
from ..serving.units import files_of_the_mount, guard_files, planned_files
from ..state import earlier
from ..state.journal import Journal
from ..state.run import Run, Server, keep_settings, known_settings
from ..store import ownership
from . import preflight
from .packages import install_packages

#: Phases in which nothing on the server relies on its settings.
UNUSED = (Phase.LOCAL, Phase.PREPARE)


def install(run: Run, document: dict[str, Any]) -> None:
    """Lay all files of the mount, and try them where they are new.

    Where the bucket serves, the journal owes a remount then.

    Raises `Problem` where a check fails or new files do not serve; these are replaced by the earlier ones first.
    """
    server, journal, layout = run.server, run.journal, run.layout
    before = Server.load(layout)
    playbook.check_change(before, server, journal.serving)
    preflight.check(run)
    if _store_changed(run):
        _go_to_other_store(run)
    if journal.phase is not Phase.LOCAL:
        # One that took the bucket over, or was known by the id of earlier versions, is known from now on.
        journal.epoch = ownership.claim(run.bucket, run.server.ids, run.settings.store.bucket, run.settings.store.adopt)
    install_packages(run.system, run.say)
    taken_back = playbook.is_taken_back(before, server)
    if taken_back:
        if journal.phase is Phase.LOCAL:  # nothing keeps it off there
            playbook.check_gone(before)
        journal.earlier_unit = PLAYBOOK_UNIT
        playbook.forget(server)  # or ours would not start, should the earlier settings come back
    pending = Owed.REMOUNT in journal.owed
    if not pending:  # else what lies there is older, and served
        earlier.lay_aside(layout, earlier.read(_replaceable(layout)))
    # In the journal first: were this run killed, the next would find nothing changed, and a mount on the old files.
    journal.owed.add(Owed.REMOUNT)
    journal.save()
    earlier_mount.keep_off(server, journal)
    changed = lay_programs(server) | lay_files(server, journal)
    new = pending or taken_back or bool(changed & files_of_the_mount(server))
    if new:
        try:
            _try(run)
        except BaseException:
            earlier.bring_back(layout, run.system)
            _owe_remount(journal, pending)
            raise
    # Where the playbook's mount serves, they were tried all the same: ours takes its place again some day.
    owed = new and mount.ours_serves(server, journal.serving)
    _owe_remount(journal, owed)
    if not owed:
        earlier.forget(layout, server.programs.keys())
    metrics.settle(server)  # its units are taken back where the new mount does not serve
    keep_settings(layout, {name: document[name] for name in ("store", "mount")})
    run.say("the mount, its keys, its units and the guard are in place" + ("" if changed else " (nothing new)"))


def _owe_remount(journal: Journal, owed: bool) -> None:
    if owed:
        journal.owed.add(Owed.REMOUNT)
    else:
        journal.owed.discard(Owed.REMOUNT)
    journal.save()


def _replaceable(layout: Layout) -> list[Path]:
    """Return the files that `lay_files` may replace, and the settings; the guard's drop-ins are not among them."""
    units = [layout.units / name for name in OUR_UNITS]
    return [layout.rclone_conf, layout.credentials, layout.settings, *units]


def lay_programs(server: Server) -> set[Path]:
    """Put the pinned programs in place, and return the paths that changed. Raises `Problem` where one cannot be had.

    One that runs is not replaced: another pin is another file.
    """
    return {path for path, program in server.programs.items() if fetch(program, path)}


def lay_files(server: Server, journal: Journal, but_for_the_mount: bool = False) -> set[Path]:
    """Lay credentials, units and guard, and return the paths that changed. It starts and stops nothing.

    With `but_for_the_mount`, what a running mount was started with stays as it is.
    """
    layout = server.layout
    for folder in (layout.staging, layout.mounting):
        with contextlib.suppress(FileExistsError):  # it may be mounted, and dead
            folder.mkdir(parents=True)
    write_cache.lay(server)
    layout.var.chmod(0o711)  # the homeserver's user passes through to the staging path; files in it are 0600
    guards = guard_files(server, journal)
    changed = _remove_guard(layout, keep=guards)
    left = files_of_the_mount(server) if but_for_the_mount else set()
    for path, (data, mode) in planned_files(server, journal).items():
        if path not in left and write_atomic(path, data, mode):
            changed.add(path)
    for path in guards:
        path.parent.chmod(0o755)
    if changed:
        server.system.systemctl("daemon-reload")
    server.system.systemctl("enable", "--quiet", RECOVER_UNIT)
    return changed


def _remove_guard(layout: Layout, keep: Collection[Path] = ()) -> set[Path]:
    """Take away every drop-in of ours, whatever service it is for, but those in `keep`; returns what went."""
    gone = {path for path in layout.units.glob(f"*.d/{DROP_IN}") if path not in keep}
    for path in gone:
        path.unlink()
        sync_folder(path.parent)
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    return gone


def remove_files(server: Server) -> None:
    """Take away all that `lay_files` put there. The media store must be local."""
    layout = server.layout
    mount.stop_staging(server)
    _remove_guard(layout)
    playbook.forget(server)
    for unit in OUR_UNITS:
        path = layout.units / unit
        if path.exists():
            server.system.systemctl("disable", "--now", "--quiet", unit)
            path.unlink()
    server.system.systemctl("daemon-reload")
    metrics.remove(layout)
    for path in (layout.rclone_conf, layout.credentials):
        path.unlink(missing_ok=True)
    earlier.forget(layout, set())
    if left := write_cache.remove_unused(server, None):
        raise Problem(
            f"{len(left):,} uploads are in the cache alone, {min(left)!r} first",
            f"copy them from below {server.settings.mount.cache_folder} into the media store, and remove that folder",
        )


def _store_changed(run: Run) -> bool:
    """Return whether the bucket or the customer's key changed.

    Raises `Problem` where something relies on the old one.
    """
    before, now = known_settings(run.layout).get("store", {}), run.settings.store
    rekeyed = before and before.get("sse_customer_key", "") != now.sse_customer_key
    moved = before and place(before) != place(shown(now))
    if not moved and not rekeyed:
        return False
    phase = run.journal.phase
    if rekeyed and phase not in UNUSED:
        raise Problem(
            f"store.sseCustomerKey changed in phase {phase}, and nothing could be read without the old",
            "set the old one back, and phase to prepare: the media come home, and can be copied with the new one then",
        )
    if moved and phase not in UNUSED:
        raise Problem(
            f"the store changed from {place(before)} to {place(shown(now))} in phase {phase}",
            "nothing was changed: set the store back as it was, and phase to prepare, and run pulumi up: the "
            "media come home; then name the other store",
        )
    return True


def place(store: Mapping[str, Any]) -> str:
    """Return where the bucket of a store's section is, in words; another bucket has others."""
    named = [store.get("bucket", ""), *filter(None, [store.get("prefix")])]
    return f"{'/'.join(named)} at {store.get('endpoint', '')}"


def _go_to_other_store(run: Run) -> None:
    """Go from the bucket or customer's key that was used before to another, while nothing relies on either.

    The mark of ownership is read with the old key, since the new one cannot.
    """
    now = run.settings.store
    if run.journal.phase is Phase.PREPARE:
        old = Server.load(run.layout)
        if place(shown(old.settings.store)) == place(shown(now)):
            ownership.release(old.bucket, run.server.ids)
        run.journal.epoch = ownership.claim(run.bucket, run.server.ids, now.bucket, now.adopt)
    run.layout.manifest.unlink(missing_ok=True)


def _try(run: Run) -> None:
    """Copy to the bucket and back, mount it at the staging path and write a file there, all with the new settings.

    The mount stays in the phases that have it. Raises `Problem` where something of it fails.
    """
    server, journal, store = run.server, run.journal, run.settings.store
    ownership.check(run.bucket, server.ids, store.bucket, store.adopt)  # nothing is written into somebody else's
    trial.try_copies(server, journal.owner, run.say)
    stays = journal.serving is Side.LOCAL and journal.phase in (Phase.PREPARE, Phase.MIRROR)
    mount.stop_staging(server)
    try:
        mount.start_staging(server, journal.owner)
        if journal.serving is Side.BUCKET:
            proof.read_sample(server, journal.owner, server.layout.staging)
        proof.write_probe(server.system, run.bucket, journal.owner, server.layout.staging)
    except BaseException:
        stays = False
        raise
    finally:
        if not stays:
            mount.stop_staging(server)
    run.say("the mount takes a file from the homeserver's user, and the bucket has it")
