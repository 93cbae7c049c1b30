"""The kernel tells of all that a walk would find, whatever is done to the tree. Its word is held against two walks."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.host.linked import Store
from agent.media.listener import Listener, listening
from agent.media.walk import files_below, walk
from agent.model.items import Entry
from sandbox.world import HOME, ROOT

GROUND = HOME / "listener"
STORE, OUTSIDE = GROUND / "store", GROUND / "outside"

#: Few names, so that things meet: files and folders take each other's places.
PLACES = st.lists(st.sampled_from(["a", "b", "caf\u00e9 x"]), min_size=1, max_size=3).map("/".join)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["write", "append", "truncate", "delete", "make", "remove", "rights"]), PLACES),
        st.tuples(st.sampled_from(["move", "swap"]), PLACES, PLACES),
        st.tuples(st.sampled_from(["move in", "move out"]), PLACES),
    ),
    max_size=12,
)


def do(step: tuple[str, ...]) -> None:
    """One thing that a program may do to the store; what is not possible just then does nothing."""
    kind, place = step[0], STORE / step[1]
    if kind in ("write", "append"):
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(place, "w" if kind == "write" else "a") as file:
            file.write(kind)
    elif kind == "truncate":
        os.truncate(place, 1)
    elif kind == "delete":
        place.unlink()
    elif kind == "make":
        place.mkdir(parents=True)
    elif kind == "remove":
        shutil.rmtree(place)
    elif kind == "rights":
        place.chmod(0o700)
    elif kind == "move":
        place.rename(STORE / step[2])
    elif kind == "swap":
        aside = OUTSIDE / "aside"
        place.rename(aside)
        with contextlib.suppress(OSError):
            (STORE / step[2]).rename(place)
        aside.rename(STORE / step[2] if not (STORE / step[2]).exists() else OUTSIDE / "lost")
    elif kind == "move in":
        (OUTSIDE / "coming").rename(place)
    elif kind == "move out":
        place.rename(OUTSIDE / "coming")


def lay() -> None:
    shutil.rmtree(GROUND, ignore_errors=True)
    for path in (STORE / "a/a/a", STORE / "a/b", STORE / "b/a/b", OUTSIDE / "coming/a/b", OUTSIDE / "coming/c"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("as it was")


def found_by_walks(before: set[Entry]) -> tuple[set[Entry], set[str]]:
    after = set(walk(STORE, []))
    return after - before, {entry.path for entry in before} - {entry.path for entry in after}


def found_by_the_kernel(listener: Listener, before: set[Entry]) -> tuple[set[Entry], set[str]]:
    told = listener.take()
    assert told is not None
    with Store.at(STORE) as store:
        found = {entry for path in told for entry in files_below(store, path, [])}
    gone = {entry.path for entry in before for path in told if f"{entry.path}/".startswith(f"{path}/")}
    return found - before, gone - {entry.path for entry in found}


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(early=STEPS, late=STEPS)
def test_whatever_is_done_the_kernel_tells_what_two_walks_tell(
    early: list[tuple[str, ...]], late: list[tuple[str, ...]]
) -> None:
    lay()
    with listening(STORE) as listener:
        assert listener, f"{GROUND} must lie on ext4 or xfs, and root must run this"
        for step in early:
            with contextlib.suppress(OSError):
                do(step)
        before = set(walk(STORE, []))
        for step in late:
            with contextlib.suppress(OSError):
                do(step)
        assert found_by_the_kernel(listener, before) == found_by_walks(before)


def test_a_program_that_ends_with_a_file_still_open_is_told_of() -> None:
    lay()
    writer = "import sys; f = open(sys.argv[1], 'a'); print(flush=True); sys.stdin.read(); f.write('the end')"
    with subprocess.Popen(
        [sys.executable, "-c", writer, STORE / "a/b"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stdin
        process.stdout.readline()  # it was opened before anybody listened
        with listening(STORE) as listener:
            assert listener and listener.take() == set()
            process.stdin.close()
            process.wait()
            assert listener.take() == {"a/b"}


def test_files_written_into_memory_are_told_of_once_they_are_closed() -> None:
    lay()
    writer = "import mmap, sys; f = open(sys.argv[1], 'r+'); m = mmap.mmap(f.fileno(), 0); m[0:2] = b'AS'"
    with listening(STORE) as listener:
        assert listener
        subprocess.run([sys.executable, "-c", writer, STORE / "a/b"], check=True)
        assert listener.take() == {"a/b"}


def test_what_is_written_in_a_folder_that_was_moved_in_is_told_also_after_the_move_was() -> None:
    lay()
    with listening(STORE) as listener:
        assert listener
        (OUTSIDE / "coming/a/b").write_text("elsewhere")
        assert listener.take() == set()
        (OUTSIDE / "coming").rename(STORE / "b/came")
        assert listener.take() == {"b/came"}
        (STORE / "b/came/a/b").write_text("here")
        (STORE / "b/came/c").write_text("here")
        assert listener.take() == {"b/came/a/b", "b/came/c"}


def test_what_happens_elsewhere_on_the_disk_is_not_told() -> None:
    lay()
    with listening(STORE) as listener:
        (OUTSIDE / "coming/a/b").write_text("x")
        (GROUND / "store-beside").mkdir()
        (GROUND / "store-beside/b").write_text("x")
        assert listener and listener.take() == set()


def test_very_many_changes_are_told_without_loss() -> None:
    lay()
    with listening(STORE) as listener:
        for number in range(20_000):  # above the kernel's usual limit of 16,384 events
            (STORE / f"b/{number}").touch()
        assert listener and listener.take() == {f"b/{number}" for number in range(20_000)}


def test_a_store_whose_folder_was_renamed_meanwhile_is_not_answered_for() -> None:
    lay()
    with listening(STORE) as listener:
        STORE.rename(Path(f"{STORE}-moved"))
        assert listener and listener.take() is None


def test_a_store_that_was_elsewhere_for_a_moment_is_not_answered_for() -> None:
    lay()
    with listening(STORE) as listener:
        STORE.rename(f"{STORE}-moved")
        (Path(f"{STORE}-moved") / "b/new").touch()
        assert listener and listener.take() is None
        os.rename(f"{STORE}-moved", STORE)
        assert listener.take() is None


def test_more_than_can_be_read_in_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    lay()
    with listening(STORE) as listener:
        assert listener
        monkeypatch.setattr(listener, "_waiting", lambda: 1 << 30)
        monkeypatch.setattr(listener, "_read", lambda: 1)
        monkeypatch.setattr("agent.host.fanotify.PATIENCE", 0.05)
        assert listener.take() is None


def test_what_others_write_on_the_disk_all_the_time_keeps_nobody_waiting() -> None:
    lay()
    writer = (
        "import itertools, os, sys\n"
        "for number in itertools.count():\n"
        "    for folder in range(50):\n"
        "        path = f'{sys.argv[1]}/{folder}'\n"
        "        os.makedirs(path, exist_ok=True)\n"
        "        open(f'{path}/{number}', 'w').close()\n"
        "    if number == 1: print(flush=True)\n"
    )
    with listening(STORE) as listener:
        assert listener
        with subprocess.Popen([sys.executable, "-c", writer, OUTSIDE], stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout
                process.stdout.readline()
                for number in range(5):
                    (STORE / f"b/{number}").touch()
                    assert listener.take() == {f"b/{number}"}
            finally:
                process.kill()


def test_folders_that_come_and_go_elsewhere_all_the_time_are_no_loss() -> None:
    """A new folder takes the number of one that has just gone: for a moment the kernel can open neither."""
    lay()
    writer = (
        "import os, sys\n"
        "print(flush=True)\n"
        "while True:\n"
        "    os.mkdir(sys.argv[1])\n"
        "    open(f'{sys.argv[1]}/part', 'w').close()\n"
        "    os.remove(f'{sys.argv[1]}/part')\n"
        "    os.rmdir(sys.argv[1])\n"
    )
    with listening(STORE) as listener, contextlib.ExitStack() as ended:
        assert listener
        for number in range(4):
            argv = [sys.executable, "-c", writer, str(OUTSIDE / f"upload-{number}")]
            process = ended.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE))
            ended.callback(process.kill)
            assert process.stdout
            process.stdout.readline()
        for number in range(200):
            (STORE / f"b/{number}").touch()
            assert listener.take() == {f"b/{number}"}, number


def test_whatever_goes_wrong_in_the_thread_that_listens_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    lay()
    with listening(STORE) as listener:
        assert listener
        monkeypatch.setattr(listener, "_inside", lambda handle: (_ for _ in ()).throw(MemoryError))
        (STORE / "b/new").touch()
        listener._thread.join(10)
        monkeypatch.undo()
        (STORE / "b/newer").touch()
        assert listener.take() is None


def test_without_the_right_to_open_folders_by_their_handles_there_is_no_listener() -> None:
    lay()
    program = (
        "import sys; from pathlib import Path; from agent.media.listener import listening\n"
        "with listening(Path(sys.argv[1])) as listener: print(listener)"
    )
    argv = ["setpriv", "--bounding-set=-dac_read_search", "--inh-caps=-dac_read_search", sys.executable, "-c", program]
    assert subprocess.check_output([*argv, STORE], cwd=ROOT, text=True) == "None\n"


def test_with_another_folder_mounted_inside_there_is_no_listener() -> None:
    lay()
    subprocess.run(["mount", "--bind", OUTSIDE, STORE / "a/a"], check=True)
    try:
        with listening(STORE) as listener:
            assert listener is None
    finally:
        subprocess.run(["umount", STORE / "a/a"], check=True)
