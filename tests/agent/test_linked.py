"""A media store of which a folder lies on another disk, with a link to it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from agent.host.linked import Store, lay_links
from agent.media.equality import Manifest
from agent.media.walk import walk
from agent.migration import clean, recovery
from agent.model.errors import Problem
from agent.model.phases import Side

from .conftest import Machine, NewServer
from .fakes import SYNAPSE, PowerLoss
from .moves import fill, go
from .test_transitions import operations_of

OWNER = 991
#: Left out of the bucket.
PREVIEW = "url_cache/2026-01-01/preview"


@pytest.fixture
def big(server: Machine) -> Path:
    """The folder `remote_content` of the store, moved elsewhere."""
    return move_away(server)


def move_away(server: Machine) -> Path:
    fill(server)
    (server.store / "remote_content/example.org").mkdir(parents=True)
    (server.store / "remote_content/example.org/medium").write_text("far")
    target = server.root / "big/remote_content"
    target.parent.mkdir()
    (server.store / "remote_content").rename(target)
    link = server.store / "remote_content"
    link.symlink_to(target)
    for path in (server.store, target, *server.store.rglob("*"), *target.rglob("*")):
        if not path.is_symlink():
            os.chown(path, OWNER, OWNER)
    return target


def names(store: Path) -> set[str]:
    return {entry.path for entry in walk(store, [])}


def test_a_folder_behind_a_link_is_of_the_store_as_any_other(server: Machine, big: Path) -> None:
    assert "remote_content/example.org/medium" in names(server.store)
    with Store.at(server.store) as store:
        with store.file("remote_content/example.org/medium") as file:
            assert file.read() == b"far"
        store.move("remote_content/example.org/medium", store, "remote_content/example.org/moved")
    assert (big / "example.org/moved").read_text() == "far"


def test_only_a_link_of_roots_is_followed_out_of_the_store_to_a_folder_of_somebody_elses(
    server: Machine, big: Path
) -> None:
    """Review, entries 4 and 5: another example. From a container one may see less than one's number may."""
    elsewhere = server.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "key").write_text("of another program of the same user")
    link = server.store / "laid"
    for owner_of_link, owner_of_folder, target, followed in (
        (OWNER, OWNER, elsewhere, False),
        (0, 0, elsewhere, False),
        (0, OWNER, server.store / "local_content", False),
        (0, OWNER, server.root / "not there", False),
        (0, OWNER, elsewhere, True),
    ):
        os.chown(elsewhere, owner_of_folder, owner_of_folder)
        link.symlink_to(target)
        os.chown(link, owner_of_link, owner_of_link, follow_symlinks=False)
        with Store.at(server.store) as store:
            assert ("laid" in store.links) == followed, (owner_of_link, target)
        with contextlib.nullcontext() if followed else pytest.raises(Problem, match="is not followed"):
            names(server.store)
        link.unlink()
    (big / "inner").symlink_to(elsewhere)
    with pytest.raises(Problem, match="is not followed"):
        names(server.store)


def test_a_folder_that_takes_the_place_of_the_one_a_link_led_to_is_not_entered(server: Machine, big: Path) -> None:
    with Store.at(server.store) as store:
        big.rename(big.with_name("before"))
        big.mkdir()
        os.chown(big, OWNER, OWNER)
        with pytest.raises(NotADirectoryError):
            store.folder("remote_content")
        with pytest.raises(NotADirectoryError):
            store.file("remote_content/example.org/medium")


def test_a_link_that_was_taken_away_at_home_is_not_laid_again(server: Machine, big: Path) -> None:
    go(server, "clean")
    go(server, "prepare")
    link = server.store / "remote_content"
    link.unlink()
    big.rename(link)
    go(server, "clean")
    go(server, "prepare")
    assert not link.is_symlink() and (link / "example.org/medium").read_text() == "far"


def test_forward_to_clean_and_home_a_link_is_as_it_was_and_its_files_are_back(server: Machine, big: Path) -> None:
    link = server.store / "remote_content"
    text, before = os.readlink(link), names(server.store) - {PREVIEW}
    go(server, "clean")
    assert not list(big.iterdir()), "what was compared is gone from the other disk too"
    assert server.bucket.objects["remote_content/example.org/medium"] == b"far"
    server.bucket.objects["remote_content/example.org/new"] = b"came while live"
    go(server, "prepare")
    assert os.readlink(link) == text and link.lstat().st_uid == 0
    assert names(server.store) == before | {"remote_content/example.org/new"}
    assert (big / "example.org/new").read_bytes() == b"came while live"
    assert {path.name for path in big.iterdir()} == {"example.org", "[::1]:8448"}


def test_links_are_laid_where_nothing_has_their_names(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with Store.at(tmp_path) as store:
        lay_links(store, {"there": "/a", "new": "/b"})
    assert (tmp_path / "there").is_dir() and os.readlink(tmp_path / "new") == "/b"


@pytest.mark.parametrize(("start", "target"), [("live", "clean"), ("clean", "prepare"), ("mirror", "live")])
def test_a_power_loss_at_every_third_operation_leaves_links_and_files_to_the_next_run(
    new_server: NewServer, start: str, target: str
) -> None:
    counted = new_server()
    move_away(counted)
    operations = operations_of(counted, start, target)
    assert operations > 5
    for at in range(0, operations, 3):  # test_transitions strikes at each
        fresh = new_server()
        far = move_away(fresh)
        text, before = os.readlink(fresh.store / "remote_content"), names(fresh.store) - {PREVIEW}
        go(fresh, start)
        fresh.power.left = at
        with pytest.raises(PowerLoss):
            go(fresh, target)
        fresh.reboot()
        recovery.recover(fresh.run(), boot=True)
        if fresh.journal.serving is Side.BUCKET:
            fresh.system.start(["matrix-media-store.service"])
        fresh.system.start([SYNAPSE])
        assert go(fresh, target).phase == target
        go(fresh, "prepare")
        assert os.readlink(fresh.store / "remote_content") == text
        assert names(fresh.store) - {PREVIEW} == before, f"interrupted at operation {at}"
        assert (far / "example.org/medium").read_text() == "far"


def test_after_an_interrupted_clean_the_way_home_lays_the_links_and_forgets_them(server: Machine, big: Path) -> None:
    go(server, "live")
    real = clean._unlink_compared
    text = os.readlink(server.backup / "remote_content")

    def and_a_stray(copy: Store, manifest: Manifest) -> None:
        real(copy, manifest)
        (server.settings.host.removing_path / "came late").write_bytes(b"late")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Problem, match="came after the comparison"):
        patch.setattr(clean, "_unlink_compared", and_a_stray)
        go(server, "clean")
    go(server, "prepare")
    assert os.readlink(server.store / "remote_content") == text
    assert server.journal.local_store and server.journal.local_store.links == {}
