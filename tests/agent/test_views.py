"""Who sees a folder, and what stands still."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.host.control_groups import is_within
from agent.host.mounts import Mount
from agent.host.open_files import Place
from agent.host.views import blind, views
from agent.model.items import View


@pytest.mark.parametrize(
    ("group", "above", "within"),
    [
        ("/a/b", ["/a"], True),
        ("/a", ["/a"], True),
        ("/ab", ["/a"], False),
        ("/a", ["/a/b"], False),
    ],
)
def test_a_group_is_within_itself_and_those_above_it(group: str, above: list[str], within: bool) -> None:
    assert is_within(group, above) is within


def test_a_view_is_blind_where_one_of_its_paths_leads_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Mount("8:1", "/matrix/storage", "/media", "ext4", "/dev/sda1")
    fuse = Mount("0:50", "/", "/media/store", "fuse.goofys", "bucket")
    seen = {"1": [disk, fuse], "2": [disk]}
    monkeypatch.setattr("agent.host.views.mounts_of", lambda process: seen[process])
    views = [View(process, "/g", ("/media/store",), True) for process in seen]
    assert [view.process for view in blind(views, Place("0:50", "/"))] == ["2"]


def test_a_mount_that_is_seen_at_a_place_of_this_programs_own_too_is_seen_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for process in ("self", "7"):
        (tmp_path / process / "ns").mkdir(parents=True)
        (tmp_path / process / "ns/mnt").symlink_to(f"mnt:[{process}]")
        (tmp_path / process / "root").symlink_to("/")
    disk = Mount("8:1", "/", "/host", "ext4", "/dev/sda1")
    fuse = [Mount("0:50", "/", f"/host/{place}", "fuse.goofys", "bucket") for place in ("media", "var/staging")]
    monkeypatch.setattr("agent.host.views.PROC", tmp_path)
    monkeypatch.setattr("agent.host.views.mounts_of", lambda process: [disk, *fuse])
    monkeypatch.setattr("agent.host.views.group_of", lambda process: "/g")
    (view,) = views(Place("0:50", "/"), but_for=[Place("8:1", "/var/staging")])
    assert view.paths == ("/host/media",)
