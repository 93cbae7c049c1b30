"""Who sees a folder, and what stands still."""

from __future__ import annotations

import pytest

from agent.host.control_groups import is_within
from agent.host.mounts import Mount
from agent.host.open_files import Place
from agent.host.views import blind
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
