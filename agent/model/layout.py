"""This module has the names of the agent's units and the paths that it uses on the server. It is pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .programs import Program

#: Names of our own: the playbook deletes a unit called matrix-goofys.service on each of its runs.
MOUNT_UNIT = "matrix-media-store.service"
STAGING_UNIT = "matrix-media-store-staging.service"
RECOVER_UNIT = "matrix-media-store-recover.service"
RECOVER_TIMER = "matrix-media-store-recover.timer"
WATCHDOG_UNIT = "matrix-media-store-watchdog.service"
THAW_UNIT = "matrix-media-store-thaw.service"
THAW_TIMER = "matrix-media-store-thaw.timer"
METRICS_UNIT = "matrix-media-store-metrics.service"
METRICS_TIMER = "matrix-media-store-metrics.timer"
WORK_UNIT = "matrix-media-store-converge.service"
#: All units that this program lays but the transient one.
OUR_UNITS = (
    STAGING_UNIT, MOUNT_UNIT, RECOVER_UNIT, RECOVER_TIMER, WATCHDOG_UNIT, THAW_UNIT, THAW_TIMER,
    METRICS_TIMER, METRICS_UNIT,
)  # fmt: skip
#: The playbook's own mount of a bucket.
PLAYBOOK_UNIT = "matrix-goofys.service"

#: Where the mount's unit has a folder of its own below /run, as long as it runs.
MOUNT_FOLDER = "matrix-media-store"
#: The name of each of our drop-ins.
DROP_IN = "matrix-media-store.conf"

#: The folder that is ours and not the media store's: in the bucket, and at the top of the local copy.
RESERVED = ".matrix-media-store"
RESERVED_PREFIX = f"{RESERVED}/"
#: The object that says which server uses the bucket, see `store.ownership`.
OWNER_KEY = f"{RESERVED_PREFIX}owner.json"


@dataclass(frozen=True)
class Layout:
    """A `Layout` says where the agent's files and folders lie, all below `root`; tests give a temporary `root`."""

    root: Path = Path("/")
    #: Begins the names of the files that belong to a store: empty for those of the one that serves.
    other: str = ""

    @property
    def etc(self) -> Path:
        """Return the folder with the agent's settings and credentials."""
        return self.root / "etc/matrix-media-store"

    @property
    def var(self) -> Path:
        """Return the folder with what the agent remembers: journal, manifest, lock, progress."""
        return self.root / "var/lib/matrix-media-store"

    @property
    def lib(self) -> Path:
        """Return the folder with the agent's programs."""
        return self.root / "usr/local/lib/matrix-media-store"

    @property
    def units(self) -> Path:
        """Return the folder with systemd's unit files."""
        return self.root / "etc/systemd/system"

    def drop_in(self, unit: str) -> Path:
        """Return the path of our drop-in for a unit."""
        return self.units / f"{unit}.d" / DROP_IN

    @property
    def agent(self) -> Path:
        """Return the path of the agent's zipapp."""
        return self.lib / "agent.pyz"

    def program(self, program: Program) -> Path:
        """Return the path of a pinned program."""
        return self.lib / program.file_name

    @property
    def settings(self) -> Path:
        """Return the path of the settings as the stack told them last, secrets among them."""
        return self.etc / "settings.json"

    @property
    def local_store(self) -> Path:
        """Return the path of what the journal says of the local store, noted once more, should the journal be lost."""
        return self.etc / "local-store.json"

    @property
    def earlier(self) -> Path:
        """Return the path of the files that a change of the mount replaced, see `state.earlier`."""
        return self.etc / "earlier.json"

    @property
    def of_move(self) -> Layout:
        """Return the layout in which the files of the store that a move goes to have names of their own."""
        return replace(self, other="moving-")

    @property
    def leaving(self) -> Layout:
        """Return the layout in which the manifest of a store that is let go has a name of its own."""
        return replace(self, other="leaving-")

    @property
    def moving(self) -> Path:
        """Return the path of what a move needs to go on and to end, the keys of both stores, see `state.moving`."""
        return self.etc / "moving.json"

    @property
    def rclone_conf(self) -> Path:
        """Return the path of rclone's configuration, which holds the bucket's keys."""
        return self.etc / f"{self.other}rclone.conf"

    @property
    def credentials(self) -> Path:
        """Return the path of the environment file with the bucket's keys, for the mount's unit."""
        return self.etc / f"{self.other}credentials.env"

    @property
    def staging(self) -> Path:
        """Return the folder where the bucket is mounted while it does not serve."""
        # Not under /matrix: its backups would follow the mount into the bucket.
        return self.var / "staging"

    @property
    def mounting(self) -> Path:
        """Return the folder where a program mounts the bucket, before the mount is brought to the media store."""
        return self.var / "mounting"

    @property
    def caches(self) -> Path:
        """Return the path of the list of folders that a cache in front of the bucket may be in, see `write_cache`."""
        return self.var / "caches.json"

    @property
    def remote_control(self) -> Path:
        """Return the path of the socket at which the mount's program says what its cache owes the bucket."""
        return self.root / f"run/{MOUNT_FOLDER}/rclone.sock"

    @property
    def metrics(self) -> Path:
        """Return the path of the note that says in which folder metrics were written, see `serving.metrics`."""
        return self.var / "metrics"

    @property
    def disk(self) -> Path:
        """Return the folder where a disk that is the media store is seen while the bucket lies over it."""
        return self.var / "disk"

    @property
    def journal(self) -> Path:
        """Return the path of the journal, see `state.journal`."""
        return self.var / "journal.json"

    @property
    def manifest(self) -> Path:
        """Return the path of the SQLite file with what was seen and proven on both sides, see `media.catalog`."""
        return self.var / f"{self.other}manifest.sqlite"

    @property
    def reserve(self) -> Path:
        """Return the path of the file that keeps disk space for the journal, see `host.files.lay_reserve`."""
        return self.var / "reserve"

    @property
    def lock(self) -> Path:
        """Return the path of the file that whoever changes the server locks, see `state.lock`."""
        return self.var / "lock"

    @property
    def held(self) -> Path:
        """Return the path of the file that names what stands still, see `serving.hold`; a reboot takes it away."""
        return self.root / "run/matrix-media-store.held"

    @property
    def gave_way(self) -> Path:
        """Return the path of the file that exists as long as the playbook's mount serves in the place of ours."""
        return self.var / "gave-way"

    @property
    def adopted(self) -> Path:
        """Return the path of the file that keeps the unit of an earlier mount off, and has its name."""
        return self.etc / "adopted"

    @property
    def request(self) -> Path:
        """Return the path of the request that the unit of long work was started with, see `state.work`."""
        return self.var / "request.json"

    @property
    def verdict(self) -> Path:
        """Return the path of the verdict with which the last long work ended, see `state.work`."""
        return self.var / "verdict.json"

    @property
    def progress(self) -> Path:
        """Return the path of the progress lines of the last long work, one JSON object a line, see `state.work`."""
        return self.var / "progress.log"


#: This server's.
HERE = Layout()
