"""This module finishes or undoes what was interrupted; it is safe to run at any time, any number of times."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import time
from collections.abc import Sequence

from ..host.beneath import Folder
from ..model.errors import CommandFailed, Problem
from ..model.layout import RECOVER_TIMER, RECOVER_UNIT
from ..model.phases import NEXT, Phase, Side, Stage, Window, after_crash
from ..serving import disk, earlier_mount, hold, mount, mount_point, playbook, writers
from ..state import local_copy, moving
from ..state.journal import Journal, Lost
from ..state.run import Run
from .aside import parent_of_store

#: How often the local copy is moved to its place before somebody who lays something there has his way.
TRIES = 50


def recover(run: Run, boot: bool = False) -> None:
    """Close the window that is open, if one is: one side serves then, and the services are starting.

    The window stays in the journal until the services were told to start, so a second interruption loses nothing. Their
    guard holds them until the media store is there, so a mount that does not come up keeps nobody from mending it. At
    `boot` nothing is waited for. Raises `Problem` where the local copy is not to be found, or the mount does not come
    up.
    """
    journal = run.journal
    disk.settle(run.system, run.settings.host, run.layout)
    earlier_mount.keep_off(run.server, journal)  # before anything that may fail
    if journal.window is None:
        hold.let_go(run.server)
        earlier_mount.leave_alone(run.server, journal)
        _settle_what_disk_says(run, boot)
        return
    try:
        _choose_side(run)
    finally:
        hold.let_go(run.server)
        _start(run, journal.units, wait=False)
    units = journal.units
    journal.close()
    earlier_mount.leave_alone(run.server, journal)
    if boot and journal.serving is Side.BUCKET:
        mount.bring_up(run.server)
    if not boot:
        if journal.serving is Side.BUCKET:
            mount.start_final(run.server, journal.owner)
        call_off(run)
        _start(run, units, wait=True)


def call_off(run: Run) -> None:
    """End whoever waits to recover after this, and what would start that: services start after that unit only.

    It waits for this process, which would wait for the services. Should this be killed now, the unit of long work ends
    with recovery, and the services' guard asks for one too.
    """
    run.system.systemctl("stop", RECOVER_TIMER, RECOVER_UNIT, check=False)


def _settle_what_disk_says(run: Run, boot: bool) -> None:
    """Write down what was found on disk where the journal there is gone or older, and have the right side serve."""
    journal, told = run.journal, None
    with contextlib.suppress(Lost):
        told = Journal.load(run.layout)
    if told is not None and told.serving is journal.serving:
        return
    before = told.serving if told else "nothing"
    run.say(f"recovery: the journal says {before}, and what lies on disk says that {journal.serving} serves")
    journal.save()
    if journal.phase is Phase.LOCAL:
        mount.stop_beside(run.server)  # an earlier mount may serve
    elif journal.serving is Side.LOCAL:
        mount.stop_final(run.server)
    elif boot:
        mount.bring_up(run.server)
    else:
        mount.start_final(run.server, journal.owner)


def _choose_side(run: Run) -> None:
    """Make true on disk and in the journal what the table `AFTER_CRASH` says of the window's stage."""
    journal = run.journal
    window = journal.window
    assert window
    outcome = after_crash(window.name, window.stage)
    run.say(f"recovery: interrupted at {window.name}:{window.stage}; serving from now on: {outcome.serves}")
    if outcome.brings_home:
        if Stage.UNDOING in NEXT[window.name, window.stage]:
            journal.advance(Stage.UNDOING)  # from here on no mount comes up, whoever starts one
        bring_local_copy_home(run)
    elif outcome.phase is Phase.LOCAL:
        hold.let_go(run.server)  # nothing was moved, and the earlier mount serves on
        mount.stop_beside(run.server)
    elif outcome.serves is Side.LOCAL:
        hold.let_go(run.server)  # nothing was moved
        mount.stop_final(run.server)  # which may wait beside the local store
    elif window.name is Window.ADOPT:
        earlier_mount.finish(run.server)
    elif window.name is Window.MOVE and outcome.then is Stage.STARTING:
        go_to_new_store(run)
    elif window.name is Window.MOVE:
        mount.keep_ours(run.server)
    else:
        mount.bring_back(run.server)
    journal.recover()


def go_to_new_store(run: Run) -> None:
    """Have every mount start with the store that a move goes to, once the journal says that it serves.

    Our mount of the store that was left goes; its program lives on for whoever reads from it. Raises `Problem` where
    nothing says which store that is.
    """
    found = moving.read(run.layout)
    if found is None:
        raise Problem(
            "the journal says that another store serves, and nothing says which",
            f"bring {run.layout.moving} back from a backup of the server",
        )
    run.journal.epoch = found.epoch
    run.journal.save()  # where that failed before, nothing of the new store may be in use
    moving.bring_in(run.layout, run.system, found)
    mount.leave_earlier_store(run.server)


def _start(run: Run, units: Sequence[str], wait: bool) -> None:
    """Start units. One that is gone meanwhile must not hold up the others, so failures are only told."""
    try:
        run.system.start(units, wait=wait)
    except (CommandFailed, subprocess.TimeoutExpired) as error:
        run.say(f"recovery: {error}")


def bring_local_copy_home(run: Run) -> None:
    """Unmount, and let the local copy be the media store again; each part is done only if it is still to do.

    The local copy is known by what the journal says of it: no other folder that happens to have its name is taken for
    it, and a disk that is not mounted yet is not taken for an empty store. Raises `Problem` where it is nowhere.
    """
    end_mount(run)
    lay_home(run)
    # A start that was under way may have seen the folder that lay here before; one from now on sees a local store.
    _clear(run)


def lay_home(run: Run) -> None:
    """Let the local copy be the media store again, where nothing is mounted. Raises `Problem` where it is nowhere."""
    store, backup, known = run.server.store_path, run.server.backup_path, run.journal.local_store
    try:
        parent = parent_of_store(run.server)
    except FileNotFoundError:
        raise _nowhere(run) from None
    with parent:
        if disk.is_one(run.server):
            disk.move(run.server, parent, backup.name, store.name)
        elif local_copy.is_at(parent, backup.name, known):
            _take_its_place(run, parent)
        if not local_copy.is_at(parent, store.name, known):
            raise _nowhere(run)
        with parent.folder(store.name) as home:
            local_copy.came_home(run.journal, home)


def _take_its_place(run: Run, parent: Folder) -> None:
    """Give the local copy the store's name, though somebody lays something there again and again.

    Raises FileExistsError where that never ends.
    """
    for left in reversed(range(TRIES)):
        _keep_strays(run, parent)
        try:
            parent.rename_entry(run.server.backup_path.name, run.server.store_path.name)
            return
        except FileExistsError:
            if not left:
                raise


def _keep_strays(run: Run, parent: Folder) -> None:
    """Make room for the local copy: remove our mount point, and keep anything else that has its name."""
    name = run.server.store_path.name
    if parent.find(name) is None:
        return
    if mount_point.is_ours(parent, name):
        with contextlib.suppress(OSError):  # root wrote into it
            mount_point.remove(parent, name)
            return
    # Not ours and not expected: keep it, and say so, rather than stay stuck.
    aside = f"{name}-stray-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    parent.rename_entry(name, aside)
    run.say(f"recovery: something lay where the mount was; it is kept as {parent.path / aside}")


def _nowhere(run: Run) -> Problem:
    return Problem(
        f"the local copy of the media store is neither at {run.server.backup_path} nor at {run.server.store_path}",
        "is its disk mounted? Mount it; until then the services wait, and what waits tries again",
    )


def end_mount(run: Run) -> None:
    """Unmount the media store, whether our unit or the playbook's mounted it, now and at each boot."""
    mount.stop_final(run.server)
    _clear(run)


def _clear(run: Run) -> None:
    """Unmount the media store, and note which services end with the playbook's unit.

    To stop that unit ends what requires it: a homeserver too that was started in the window.
    """
    server = run.server
    if playbook.unit_exists(server):
        waiting = {*writers.running(server), *server.system.queued(writers.patterns(server))}
        if not waiting <= set(run.journal.units):
            run.journal.add_units(waiting)
    playbook.clear(server)
