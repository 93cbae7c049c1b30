"""A server that an earlier version of the program brought where it is goes on with this one, in one `pulumi up`.

That version knew no workers: its servers are plain.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from agent.model.phases import Stage, Window
from components.host import zipapp
from sandbox import server, synapse
from sandbox.engine import Stack
from sandbox.world import ROOT

from .world import VAR, Begin, Migration, journal, mount_started, on_disk, operate, stage, synapse_started, wait_for

#: The last version whose journal and settings had no format number.
EARLIER = "7180f06367a11acead0e9c2c5fe220d973a0a2cf"
#: Settings of the sandbox's stacks that it did not know.
LATER = ("mount.rcloneUrl", "mount.rcloneSha256", "migration")
SETTINGS = Path("/etc/matrix-media-store/settings.json")
RECOVER = "matrix-media-store-recover.service"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That version, as somebody has it who cloned and installed it then."""
    folder = tmp_path_factory.mktemp("earlier")
    command = ["git", "archive", EARLIER]
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    if done.returncode:  # a clone without its history
        subprocess.run(["git", "fetch", "--quiet", "--depth=1", "origin", EARLIER], cwd=ROOT)
        done = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert done.returncode == 0, f"the version before cannot be had: {done.stderr.decode()}"
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def with_earlier(migration: Migration, earlier: Path) -> Stack:
    """The migration's stack, under the earlier program, which copies with the distribution's rclone."""
    server.ssh("ln -sf /opt/rclone/rclone /usr/bin/rclone")
    file = migration.stack.config_file
    today = file.read_bytes()
    for setting in LATER:
        migration.stack.must("config", "rm", "--path", setting)
    shutil.copy(file, earlier / "stacks")
    file.write_bytes(today)
    return Stack(migration.stack.name, root=earlier)


def installed_version() -> str:
    return server.ssh("python3 /usr/local/lib/matrix-media-store/agent.pyz --version").strip()


def test_a_live_server_of_an_earlier_version_is_one_update_and_goes_home(begin: Begin, earlier: Path) -> None:
    migration = begin("upgrade", kind="plain")
    with_earlier(migration, earlier).phase("live")
    assert "format" not in journal() and "migration" in json.loads(on_disk(SETTINGS).read_text())
    migration.upload()
    since, mounted = synapse_started(), mount_started()
    migration.stack.set("phase", "live")
    told = operate(migration, "status")
    assert told.returncode == 3, told.stdout
    assert f"the agent on the server is {journal()['facts']['agent_sha256'][:12]}, the program's" in told.stdout
    output = migration.stack.must("up", "--yes", "--skip-preview")
    assert "3 updated" in output and "3 unchanged" in output
    assert mount_started() != mounted, "the mount's unit is another one: it mounts anew"
    assert synapse_started() == since, "and it does so beneath a homeserver that runs on"
    assert installed_version() == zipapp.version() and journal()["format"] == 3
    migration.assert_serves_from_bucket()
    assert "as the stack says" in operate(migration, "status").stdout
    migration.assert_serves_from_bucket()
    assert "6 unchanged" in migration.up("live")
    migration.up("clean")
    migration.upload()
    migration.stack.must("destroy", "--yes", "--skip-preview")
    migration.assert_serves_locally()


@pytest.mark.nightly
def test_a_mirror_of_an_earlier_version_goes_on_to_live_with_the_update(begin: Begin, earlier: Path) -> None:
    migration = begin("upgrade-mirror", kind="plain")
    with_earlier(migration, earlier).phase("mirror")
    migration.upload()
    migration.up("live")
    assert installed_version() == zipapp.version()
    migration.assert_serves_from_bucket()
    migration.up("prepare")
    migration.assert_serves_locally()


@pytest.mark.parametrize(
    ("start", "target", "at"),
    [
        ("mirror", "live", f"{Window.CUTOVER}:{Stage.SWAPPING}"),
        pytest.param("live", "prepare", f"{Window.RESTORE}:{Stage.DELTA}", marks=pytest.mark.nightly),
        pytest.param("live", "prepare", f"{Window.RESTORE}:{Stage.SWAPPING}", marks=pytest.mark.nightly),
    ],
)
def test_a_window_that_an_earlier_version_left_open_is_ended_by_the_update(
    begin: Begin, earlier: Path, start: str, target: str, at: str
) -> None:
    """Power is lost in the window, and that version's own recovery does not run at boot."""
    migration = begin("upgrade-window", kind="plain")
    stack = with_earlier(migration, earlier)
    stack.phase(start)
    migration.upload()
    stack.set("phase", target)
    engine = stack.popen(
        "up", "--yes", "--skip-preview", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_for(lambda: earlier_stage() == at)
    server.kill()
    stack.kill(engine)
    on_disk(Path("/etc/systemd/system/multi-user.target.wants") / RECOVER).unlink()
    server.up(wait=False)
    # It may have gone on by a stage until the power was gone.
    assert earlier_stage().partition(":")[0] == at.partition(":")[0], "nobody ended the window"
    stack.call("cancel", "--yes")
    output = migration.up(target)
    assert "error" not in output.lower(), output
    assert not stage() and journal()["format"] == 3 and installed_version() == zipapp.version()
    wait_for(lambda: synapse.call("GET", "/_matrix/client/versions"), seconds=60, every=0.5)
    if target == "live":
        migration.assert_serves_from_bucket()
    else:
        migration.assert_serves_locally()


def earlier_stage() -> str:
    """`window:stage` as the first format had it."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        step = json.loads(on_disk(VAR / "journal.json").read_text()).get("step")
        return f"{step['name']}:{step['stage']}" if step else ""
    return ""
