"""The store that is moved is the one that the homeserver uses, and no nightly job removes files over the bucket."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.commands.status import plan
from agent.model.errors import Problem
from agent.model.phases import Phase, Side, Stage, Window
from agent.serving import provider, units, writers
from agent.setup import local_store

from . import purging
from .conftest import Machine
from .moves import go
from .purging import SqliteTables


@pytest.fixture(autouse=True)
def not_roots(server: Machine) -> None:
    """Nothing of the homeserver's is looked at with root's rights."""
    os.chown(server.store, 60_123, 60_123)


@pytest.fixture
def tables(tmp_path: Path) -> SqliteTables:
    return SqliteTables(tmp_path / "homeserver.db")


def test_a_stale_folder_is_not_moved_for_the_store(server: Machine, tables: SqliteTables) -> None:
    """Review, entry 10: an administrator moved the store, and kept the old one."""
    purging.fill(server, tables)
    newer = ",".join(f"('ccdd{number:04}', {1000 + number}, 9, NULL)" for number in range(5))
    tables.execute(f"INSERT INTO local_media_repository VALUES {newer}")
    for refused in (lambda: go(server, "live"), lambda: local_store.check_store_in_use(server.run())):
        with pytest.raises(Problem, match=r"none of the newest media .* 'local_content/cc/dd/0000' first -- set host"):
            refused()
    assert server.journal.serving is Side.LOCAL and server.backup.exists() is False
    server.write("local_content/cc/dd/0003", b"it is here after all")
    go(server, "live")


def test_a_rebuilt_server_whose_media_are_in_the_bucket_is_no_stale_one(server: Machine, tables: SqliteTables) -> None:
    purging.fill(server, tables)
    purging.lose_here(server, purging.MEDIA)
    with pytest.raises(Problem, match="none of the newest media"):
        local_store.check_store_in_use(server.run())
    server.bucket.objects.update(purging.FILES)
    local_store.check_store_in_use(server.run())


def test_media_that_were_only_announced_or_are_previews_are_not_missed(server: Machine, tables: SqliteTables) -> None:
    purging.fill(server, tables)
    rows = ",".join(f"('eeff{number:04}', {2000 + number}, NULL, NULL)" for number in range(9))
    tables.execute(
        f"INSERT INTO local_media_repository VALUES {rows}",
        "INSERT INTO local_media_repository VALUES ('2026-11-26abc', 9000, 5, 'https://example.org/')",
    )
    go(server, "live")


def test_files_that_were_lost_may_be_named(server: Machine, tables: SqliteTables) -> None:
    purging.fill(server, tables)
    tables.execute(
        "DELETE FROM local_media_repository", "INSERT INTO local_media_repository VALUES ('zzzz1', 1, 1, NULL)"
    )
    server.tell(migration={"confirmed": ["local_content/zz/zz/1"]})
    go(server, "live")


def process(server: Machine, config: str, media_store: Path | None = None, name: str = "data/homeserver.yaml") -> Path:
    """A process of Synapse's as /proc shows it, which sees a root folder of its own."""
    folder = server.root / "proc/4711"
    (folder / "root" / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / "root" / name).write_text(config)
    words = ["python3", "-m", "synapse.app.homeserver", "--config-path", f"/{name}"]
    (folder / "cmdline").write_bytes(b"".join(os.fsencode(word) + b"\0" for word in words))
    server.system.synapses = [folder]
    return folder


@pytest.mark.parametrize(
    "line",
    ['media_store_path: "/media-store"', "media_store_path: /media-store # ours", "media_store_path: '/media-store'"],
)
def test_another_folder_in_a_process_of_synapses_is_told(server: Machine, line: str) -> None:
    """Review, entry 10: by its own mounts and its own homeserver.yaml."""
    folder = process(server, f"server_name: x\n{line}\n")
    (folder / "root/media-store").mkdir()
    with pytest.raises(Problem, match=r"Synapse \(process 4711\) keeps its media in a folder of its own, /media-store"):
        local_store.check_store_in_use(server.run())
    server.system.synapses = []
    local_store.check_store_in_use(server.run())


def test_a_second_synapse_with_a_store_of_its_own_is_no_reason(server: Machine) -> None:
    mine = process(server, "media_store_path: /mine\n")
    (mine / "root/mine").symlink_to("/disk/media")  # as on Debian, and within its own root
    (mine / "root/disk").mkdir()
    other = mine.with_name("4712")
    shutil.copytree(mine, other, symlinks=True)
    (other / "root/disk/media").mkdir()
    server.store.rename(mine / "root/disk/media")
    server.tell(host={"media_store": str(mine / "root/disk/media")})
    server.system.synapses = [other, mine]
    local_store.check_store_in_use(server.run())
    (mine / "root/data/homeserver.yaml").write_text("media_store_path: /mine\nenable_media_repo: false\n")
    with pytest.raises(Problem, match="process 4712"):
        local_store.check_store_in_use(server.run())


@pytest.mark.parametrize("own_word", [False, True])
def test_the_worker_for_media_is_looked_at_where_the_main_process_serves_none(server: Machine, own_word: bool) -> None:
    """As the playbook has it with workers: enable_media_repo is false in the configuration that all share."""
    shared = "media_store_path: /media-store\nenable_media_repo: false\n"
    worker = process(server, shared)
    (worker / "root/media-store").mkdir()
    (worker / "root/data/worker.yaml").write_text("worker_app: synapse.app.generic_worker\n")
    with (worker / "cmdline").open("ab") as words:
        words.write(b"-c\0/data/worker.yaml\0")
    local_store.check_store_in_use(server.run())
    media_worker = (
        "worker_app: synapse.app.media_repository\n",
        "worker_app: synapse.app.generic_worker\nenable_media_repo: true\n",  # as Synapse's own image has it
    )[own_word]
    (worker / "root/data/worker.yaml").write_text(media_worker)
    with pytest.raises(Problem, match="a folder of its own, /media-store"):
        local_store.check_store_in_use(server.run())


def test_the_same_folder_by_another_path_is_the_store(server: Machine) -> None:
    folder = process(server, "media_store_path: /matrix-media-store-parent/media-store\n")
    seen = folder / "root/matrix-media-store-parent/media-store"
    seen.parent.mkdir()
    server.store.rename(seen)  # a bind mount shows it at both
    server.tell(host={"media_store": str(seen)})
    local_store.check_store_in_use(server.run())


def test_a_folder_of_configuration_files_is_read_and_the_last_word_counts(server: Machine) -> None:
    first = "media_store_path: /first\nenable_local_media_storage: false\n"
    folder = process(server, first, name="etc/conf.d/a.yaml")
    (folder / "root/etc/conf.d/b.yaml").write_text("media_store_path: /second\nenable_local_media_storage: true\n")
    (folder / "cmdline").write_bytes(b"python3\0-m\0synapse.app.generic_worker\0--config-path=/etc/conf.d\0")
    for name in ("first", "second"):
        (folder / "root" / name).mkdir()
    with pytest.raises(Problem, match="of its own, /second"):
        local_store.check_store_in_use(server.run())


def test_a_homeserver_that_keeps_nothing_on_disk_is_told(server: Machine) -> None:
    """Review, entry 10."""
    process(server, "enable_local_media_storage: false\nmedia_store_path: /x\n")
    with pytest.raises(Problem, match="enable_local_media_storage is false"):
        local_store.check_store_in_use(server.run())


def test_a_link_in_a_container_leads_nowhere(server: Machine) -> None:
    folder = process(server, "x: y\n")
    (folder / "root/data/homeserver.yaml").unlink()
    (folder / "root/data/homeserver.yaml").symlink_to("/etc/shadow")
    local_store.check_store_in_use(server.run())


@pytest.mark.parametrize("unit", provider.UNITS)
def test_the_bucket_does_not_serve_while_the_providers_job_is_there(server: Machine, unit: str) -> None:
    """Review, entry 9."""
    (server.layout.units / unit).touch()
    go(server, "mirror")
    local_store.check_store_in_use(server.run())
    assert any("before phase live: " in line and unit in line for line in server.said), "prepare says so"
    assert unit in plan(server.agent, server.journal, Phase.LIVE)["problems"][0], "the preview says so"
    with pytest.raises(Problem, match=rf"{unit} .*the only copy -- .*take the matrix_synapse_ext_"):
        go(server, "live")
    assert server.journal.serving is Side.LOCAL
    (server.layout.units / unit).unlink()
    go(server, "live")


def test_a_stack_of_the_providers_own_bucket_takes_over_while_its_job_is_kept_off(server: Machine) -> None:
    job = provider.UNITS[1]
    (server.layout.units / job).touch()
    server.tell(host={"storage_provider": "from"})
    go(server, "mirror")
    with pytest.raises(Problem, match=f"nothing keeps {job} off"):
        go(server, "live")
    server.layout.drop_in(job).parent.mkdir(parents=True, exist_ok=True)
    server.layout.drop_in(job).touch()
    server.system.others[job] = "activating"
    with pytest.raises(Problem, match=f"{job} runs, .*wait until it has ended"):
        go(server, "live")
    assert server.journal.phase is Phase.MIRROR
    server.system.others[job] = "inactive"
    assert go(server, "live").serving is Side.BUCKET


def test_the_providers_job_is_kept_from_running_unless_the_local_store_serves(server: Machine) -> None:
    """Review, entry 9: laid by the playbook later."""
    files = units.guard_files(server.agent, server.journal)
    text = files[server.layout.drop_in(provider.UNITS[1])].decode()
    assert "ExecCondition=" in text and "local-serves" in text and "guard" not in text
    provider.check_may_run(server.hold(Phase.MIRROR, Side.LOCAL), "none")
    provider.check_may_run(server.hold(Phase.MIRROR, Side.LOCAL), "to")
    with pytest.raises(Problem, match="takes over from .*pulumi destroy"):
        provider.check_may_run(server.hold(Phase.PREPARE, Side.LOCAL), "from")
    for serving, window in (
        (Side.BUCKET, None),
        (Side.NOBODY, (Window.CUTOVER, Stage.DELTA)),
        (Side.LOCAL, (Window.RESTORE, Stage.STARTING)),
    ):
        with pytest.raises(Problem, match="the bucket serves"):
            provider.check_may_run(server.hold(Phase.LIVE, serving, window), "none")


@pytest.mark.parametrize(("seen", "is_this"), [("media-store", True), ("another", False)])
def test_a_synapse_that_survives_its_unit_is_seen_through_its_own_mounts(
    server: Machine, tmp_path: Path, seen: str, is_this: bool
) -> None:
    """A container runs on where its unit could not reach Docker: nothing may be swapped beneath it."""
    parent, config = tmp_path / "matrix-media-store-parent", tmp_path / "homeserver.yaml"
    (server.store.parent / "another").mkdir()
    parent.mkdir()
    config.write_text(f"media_store_path: {parent}/{seen}\n")
    script = f"mount --bind {server.store.parent} {parent} && echo ready && exec sleep 60"
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script],
        stdout=subprocess.PIPE, text=True,
    ) as synapse:  # fmt: skip
        try:
            assert synapse.stdout and synapse.stdout.readline() == "ready\n"
            process = tmp_path / "proc" / str(synapse.pid)
            process.mkdir(parents=True)
            (process / "root").symlink_to(f"/proc/{synapse.pid}/root")
            words = ["python3", "-m", "synapse.app.homeserver", "-c", str(config)]
            (process / "cmdline").write_bytes(b"".join(os.fsencode(word) + b"\0" for word in words))
            server.system.synapses = [process]
            if is_this:
                with pytest.raises(Problem, match=rf"Synapse \(process {synapse.pid}\) runs and uses the media store"):
                    writers.check_none_writes(server.run().server)
            else:
                writers.check_none_writes(server.run().server)
        finally:
            synapse.kill()
