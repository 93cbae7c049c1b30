"""Which mount is taken over, and which is not: by its unit, its owner, and what it shows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.host.beneath import Folder
from agent.host.mounts import Mount
from agent.model.errors import Problem, StoreError
from agent.model.layout import PLAYBOOK_UNIT
from agent.serving import earlier_checks, earlier_mount, mount_point
from agent.state.records import Owner

from .conftest import Machine
from .fakes import SYNAPSE
from .moves import FILES

#: What `systemctl show` says of an ExecStart.
IN_DOCKER = "{{ path=/usr/bin/env ; argv[]=/usr/bin/env docker run --mount type=bind,src={store},dst=/s3 i ; pid=7 }}"
OF_ONES_OWN = "{{ path=/usr/bin/s3fs ; argv[]=/usr/bin/s3fs bucket {store}/ -f -o allow_other ; pid=8 }}"
ELSEWHERE = "{{ path=/usr/bin/s3fs ; argv[]=/usr/bin/s3fs bucket {store}-old -f --exclude={store}/x ; pid=9 }}"
OWNER = Owner(4711, 4712)


@pytest.fixture
def mounted(server: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A mount by FUSE of that owner's serves; root may not look at its top."""
    server.system.mounts.add(server.store)
    found = Mount("0:99", "/", str(server.store), "fuse.s3fs", "s3fs", options="rw,user_id=4711,group_id=4712")
    monkeypatch.setattr(earlier_mount, "topmost", lambda path: found)

    def closed(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(server.system, "as_user", closed)
    return server


def tell(
    server: Machine, monkeypatch: pytest.MonkeyPatch, starts: dict[str, str], bound: str = "", fragment: str = ""
) -> None:
    """What systemd says of units: their commands; what is bound to any; the file of a unit of the mount's own name."""

    def show(*arguments: str, check: bool = True) -> str:
        what, unit = arguments[1].partition("=")[2], arguments[-1]
        answers = {"ExecStart": starts.get(unit, "").format(store=server.store), "BoundBy": bound}
        return answers.get(what, fragment if unit == "the.mount" else "")

    monkeypatch.setattr(server.system, "systemctl", show)
    monkeypatch.setattr(server.system, "run", lambda argv, **_: "the.mount\n")
    monkeypatch.setattr(earlier_mount, "_of_programs", lambda: {*starts} - {PLAYBOOK_UNIT})
    server.system.active |= {*starts}


@pytest.mark.parametrize(
    ("starts", "fragment", "unit"),
    [
        ({PLAYBOOK_UNIT: IN_DOCKER}, "", PLAYBOOK_UNIT),
        ({"s3fs.service": OF_ONES_OWN}, "", "s3fs.service"),
        ({"s3fs.service": OF_ONES_OWN, PLAYBOOK_UNIT: ELSEWHERE}, "", "s3fs.service"),
        ({}, "/run/systemd/generator/the.mount", "the.mount"),
    ],
)
def test_the_unit_is_the_one_whose_command_names_the_very_path_or_the_paths_own(
    mounted: Machine, monkeypatch: pytest.MonkeyPatch, starts: dict[str, str], fragment: str, unit: str
) -> None:
    tell(mounted, monkeypatch, starts, fragment=fragment)
    assert earlier_mount.find(mounted.agent) == (unit, "fuse.s3fs", OWNER)
    assert earlier_mount.told(mounted.agent) == f"{unit} (fuse.s3fs)"


@pytest.mark.parametrize(
    ("starts", "words"),
    [
        ({}, "no unit of systemd's"),
        ({"ssh.service": "{{ argv[]=/usr/sbin/sshd -D ; }}"}, "no unit of systemd's"),
        ({"s3fs.service": ELSEWHERE}, "no unit of systemd's"),
        ({"s3fs.service": OF_ONES_OWN, PLAYBOOK_UNIT: IN_DOCKER}, f"more than one does: {PLAYBOOK_UNIT}, s3fs.service"),
    ],
)
def test_a_mount_that_not_exactly_one_unit_makes_is_refused(
    mounted: Machine, monkeypatch: pytest.MonkeyPatch, starts: dict[str, str], words: str
) -> None:
    tell(mounted, monkeypatch, starts)
    with pytest.raises(Problem, match=words):
        earlier_mount.find(mounted.agent)


def test_nothing_mounted_a_disk_or_an_automount_is_refused_by_name(
    mounted: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounted.system, "has_disk", lambda path: True)
    with pytest.raises(Problem, match=r"x-systemd\.automount"):
        earlier_mount.find(mounted.agent)
    monkeypatch.setattr(mounted.system, "has_disk", lambda path: False)
    mounted.system.mounts.clear()
    with pytest.raises(Problem, match="nothing is mounted at .* or take host.adoptMount out"):
        earlier_mount.find(mounted.agent)


@pytest.mark.parametrize(
    ("starts", "bound", "words"),
    [
        ({SYNAPSE: OF_ONES_OWN}, "", f"{SYNAPSE} itself mounts the bucket"),
        ({"s3fs.service": OF_ONES_OWN}, f"other.service {SYNAPSE}", f"{SYNAPSE} has BindsTo=s3fs.service"),
    ],
)
def test_a_homeserver_that_would_end_with_the_mount_is_refused(
    mounted: Machine, monkeypatch: pytest.MonkeyPatch, starts: dict[str, str], bound: str, words: str
) -> None:
    tell(mounted, monkeypatch, starts, bound)
    with pytest.raises(Problem, match=words):
        earlier_checks.check(mounted.agent)


@pytest.fixture
def shown(server: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A mount, as real files, that shows what the bucket has; nothing lies beneath."""
    found = earlier_mount.EarlierMount("s3fs.service", "fuse.s3fs", OWNER)
    monkeypatch.setattr(earlier_mount, "find", lambda server: found)
    monkeypatch.setattr(earlier_mount, "bound", lambda *_: set())
    beneath = server.root / "beneath"
    beneath.mkdir()

    @contextlib.contextmanager
    def covered(path: Path) -> Iterator[Folder]:
        with Folder.at(beneath) as folder:
            yield folder

    monkeypatch.setattr(mount_point, "covered", covered)
    server.system.mounts.add(server.store)
    server.bucket.objects = {**FILES, ".matrix-media-store/owner.json": b"{}", "url_cache/x": b"left out"}
    for path, body in FILES.items():
        server.write(path, body)
    return server


def test_a_mount_that_shows_what_the_bucket_has_is_taken_over(shown: Machine) -> None:
    earlier_checks.check(shown.agent)


@pytest.mark.parametrize(
    ("in_bucket", "in_mount", "words"),
    [
        ({"local_content/zz/zz/other": b"x"}, {}, "'local_content/zz/zz/other' is in the bucket, and not in the mount"),
        ({}, {"local_content/zz/zz/other": b"x"}, "'local_content/zz/zz/other' is in the mount, and not in the bucket"),
        ({"local_content/aa/bb/one": b"another size"}, {}, "is in the bucket, and not in the mount"),
    ],
)
def test_a_mount_that_shows_something_else_is_refused(
    shown: Machine, in_bucket: dict[str, bytes], in_mount: dict[str, bytes], words: str
) -> None:
    shown.bucket.objects.update(in_bucket)
    for path, body in in_mount.items():
        shown.write(path, body)
    with pytest.raises(Problem, match=f"{words} -- name the bucket"):
        earlier_checks.check(shown.agent)


def test_files_beneath_a_local_copy_and_a_synapse_elsewhere_are_each_refused(
    shown: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shown.root / "beneath/forgotten").touch()
    with pytest.raises(Problem, match="files lie beneath the mount .*'forgotten' first: nobody sees them"):
        earlier_checks.check(shown.agent)
    (shown.root / "beneath/forgotten").unlink()
    shown.backup.mkdir()
    with pytest.raises(Problem, match="exists already"):
        earlier_checks.check(shown.agent)
    shown.backup.rmdir()
    shown.system.synapses = [Path("/proc/nowhere")]
    with pytest.raises(Problem, match="no process of Synapse's keeps its media in"):
        earlier_checks.check(shown.agent)


def test_a_store_that_refuses_is_left_to_the_check_of_the_bucket(
    shown: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise StoreError(403, "AccessDenied", "no")

    monkeypatch.setattr(shown.bucket, "list", refuses)
    earlier_checks.check(shown.agent)


def test_a_mount_that_keeps_what_was_written_to_itself_is_refused(shown: Machine) -> None:
    with pytest.raises(Problem, match="does not write to bucket b at once: .*not in the bucket.* --vfs-cache-mode off"):
        earlier_checks.check_writes(shown.agent, OWNER)
    sizes = []

    def written() -> None:
        for path in (shown.store / ".matrix-media-store").iterdir():
            sizes.append(path.stat().st_size)
            shown.bucket.objects[f".matrix-media-store/{path.name}"] = path.read_bytes()

    def removed(path: str) -> object:
        return None

    shown.system.on_write = written
    shown.bucket.head = removed  # type: ignore[method-assign, assignment]
    earlier_checks.check_writes(shown.agent, OWNER)
    assert len(sizes) >= 3 and min(sizes) >= 1 << 20
