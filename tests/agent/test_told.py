"""What the kernel tells of in the window."""

from __future__ import annotations

import os

import pytest

from agent.host.linked import Store
from agent.media.snapshot import Snapshot
from agent.migration import changes, mirror
from agent.model.errors import Problem
from agent.serving.hold import Unfit

from .conftest import Machine
from .window_of import FILES, Told, after_window, counts, fill, in_window, mirrored, rewrite


def outstanding(known: changes.Baseline) -> set[str]:
    assert known.changed
    return known.changed.paths


def folders(server: Machine, known: changes.Baseline) -> list[str]:
    assert known.changed
    with Store.at(server.store) as top:
        return known.changed.new_folders(top)


def test_what_the_kernel_tells_of_is_proven_without_a_walk(server: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told("local_content/zz/zz/late", "one/deep")
    known = mirrored(server, told)
    monkeypatch.setattr(changes, "walk", lambda *_: pytest.fail("a walk in the window"))
    monkeypatch.setattr(Snapshot, "compare", lambda *_: pytest.fail("a walk in the window"))
    server.write("local_content/zz/zz/late", b"late")
    rewrite(server, "one/deep", b"DEEP")
    assert counts(server, known) == (2, 0)
    assert server.bucket.objects == FILES | {"local_content/zz/zz/late": b"late", "one/deep": b"DEEP"}


def test_a_folder_that_the_kernel_tells_of_stands_for_all_below_it(server: Machine) -> None:
    known = mirrored(server, Told("moved", "local_thumbnails"))
    os.rename(server.store / "local_thumbnails", server.store / "moved")
    assert counts(server, known) == (1, 1)
    after_window(server)
    thumbnail = "aa/bb/one/32-32-image-png-crop"
    assert f"moved/{thumbnail}" in server.bucket.objects
    assert f"local_thumbnails/{thumbnail}" not in server.bucket.objects


def test_names_that_only_begin_alike_stay_where_a_folder_goes(server: Machine) -> None:
    for beside in ("one.more", "one-more", "one0", "onemore/deep"):
        server.write(beside, b"beside")
    known = mirrored(server, Told("one"))
    os.rename(server.store / "one", server.root / "elsewhere")
    assert counts(server, known) == (0, 1)
    after_window(server)
    assert server.bucket.objects.keys() == server.tree().keys()


def test_a_file_that_took_a_folders_place_is_sent_and_what_was_in_the_folder_leaves_the_bucket(server: Machine) -> None:
    known = mirrored(server, Told("one"))
    os.rename(server.store / "one", server.root / "elsewhere")
    server.write("one", b"a file now")
    assert counts(server, known) == (1, 1)
    after_window(server)
    assert server.bucket.objects == server.tree()


def test_a_file_that_was_told_of_and_is_as_it_was_is_not_sent_again(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = mirrored(server, Told("one/deep"))
    monkeypatch.setattr(server.copier, "upload", lambda *_: pytest.fail("sent again"))
    assert counts(server, known) == (0, 0)


def test_where_the_kernel_lost_something_the_window_walks(server: Machine) -> None:
    known = mirrored(server, Told(lost=True))
    server.write("local_content/zz/zz/late", b"late")
    assert counts(server, known) == (1, 0)
    assert "local_content/zz/zz/late" in server.bucket.objects


def test_what_is_told_of_in_a_folder_that_is_left_out_stays_out(server: Machine) -> None:
    known = mirrored(server, Told("url_cache", "url_cache/2026-11-26/x"))
    server.write("url_cache/2026-11-26/x", b"preview")
    assert counts(server, known) == (0, 0)
    assert server.bucket.objects == FILES


def test_a_link_that_was_told_of_is_a_problem_with_its_remedy(server: Machine) -> None:
    known = mirrored(server, Told("one/link"))
    (server.store / "one/link").symlink_to("deep")
    with pytest.raises(Problem, match="a link.* -- see .* more than one disk"):
        in_window(server, known)


def test_a_name_that_is_no_utf8_and_is_gone_again_is_no_matter(server: Machine) -> None:
    known = mirrored(server, Told("one/\udcff"))
    assert counts(server, known) == (0, 0)


def test_what_was_not_equal_before_the_window_is_proven_in_it_though_nobody_tells_of_it(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    mirror.mirror(server.run())
    server.write("local_content/zz/zz/late", b"late")
    with monkeypatch.context() as patch:
        patch.setattr(server.copier, "upload", lambda *_: None)
        _, known = changes.before_window(server.run(), Told())
    assert counts(server, known) == (1, 0)
    assert server.bucket.objects["local_content/zz/zz/late"] == b"late"


def test_a_store_with_hard_links_is_walked_in_the_window(server: Machine) -> None:
    fill(server)
    os.link(server.store / "one/deep", server.root / "a link outside")
    mirror.mirror(server.run())
    _, known = changes.before_window(server.run(), Told())
    (server.root / "a link outside").write_bytes(b"DEEP")
    assert in_window(server, known) == changes.Found(1, 0, walked=True)
    assert server.bucket.objects["one/deep"] == b"DEEP"


def test_what_was_brought_over_is_looked_at_again_only_if_the_kernel_tells_of_it_again(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window is as short after an hour's uploads as after a second's."""
    monkeypatch.setattr(changes, "TICK", -(10**9))  # nothing is too young
    told = Told()
    known = mirrored(server, told)
    names = {f"local_content/zz/zz/{number}" for number in range(40)}
    for name in names:
        server.write(name, b"late")
    told.paths = {*names, "local_content/zz", "one/deep"}
    came, known = changes.catch_up(server.run(), known)
    assert came == 40 and outstanding(known) == set()
    rewrite(server, "local_content/zz/zz/7", b"LATE")
    os.unlink(server.store / "local_content/zz/zz/8")
    os.unlink(server.store / "one/deep")
    told.paths = {"local_content/zz/zz/7", "local_content/zz/zz/8", "one/deep"}
    came, known = changes.catch_up(server.run(), known)
    assert came == 1 and outstanding(known) == {"local_content/zz/zz/8", "one/deep"}
    told.paths = set()
    assert counts(server, known) == (0, 2)
    assert server.bucket.objects["local_content/zz/zz/7"] == b"LATE"


def test_a_folder_that_has_no_file_yet_is_told_of_until_the_window(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody is about to write there, and it must be in the mount then."""
    monkeypatch.setattr(changes, "TICK", -(10**9))
    told = Told()
    known = mirrored(server, told)
    server.write("local_content/zz/zz/new/file", b"late")
    (server.store / "local_content/zz/zz/new/empty").mkdir()
    (server.store / "local_content/yy").mkdir()
    told.paths = {"local_content/zz/zz", "local_content/yy"}
    _, known = changes.catch_up(server.run(), known)
    assert folders(server, known) == ["local_content/yy", "local_content/zz/zz/new/empty"]
    told.paths = set()
    server.write("local_content/yy/file", b"late")
    server.write("local_content/zz/zz/new/empty/file", b"late")
    _, known = changes.catch_up(server.run(), known)
    assert outstanding(known) == set() and folders(server, known) == []


def test_where_too_much_is_left_to_look_at_the_services_are_not_held_for_it(
    server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    known = mirrored(server, told)
    told.paths = {f"local_content/{number}" for number in range(2000)}
    for path in told.paths:
        (server.store / path).mkdir()
    monkeypatch.setattr(changes, "LOOK_SECONDS", 1e-6)
    with pytest.raises(Unfit, match="2,000 files and folders that changed"):
        changes.catch_up(server.run(), known)
