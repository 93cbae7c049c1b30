"""Where the agent keeps its things on the server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Names of our own: the playbook deletes a unit called matrix-goofys.service on each of its runs.
MOUNT_UNIT = "matrix-media-store.service"
STAGING_UNIT = "matrix-media-store-staging.service"
RECOVER_UNIT = "matrix-media-store-recover.service"
WATCHDOG_UNIT = "matrix-media-store-watchdog.service"
WORK_UNIT = "matrix-media-store-converge.service"
#: The playbook's own mount of a bucket.
PLAYBOOK_UNIT = "matrix-goofys.service"

#: The folder in the bucket that is ours and not the media store's.
RESERVED_PREFIX = ".matrix-media-store/"


@dataclass(frozen=True)
class Places:
    """Files and folders of the agent, below `root` (the tests give a temporary one)."""

    root: Path = Path("/")

    @property
    def etc(self) -> Path:
        return self.root / "etc/matrix-media-store"

    @property
    def var(self) -> Path:
        return self.root / "var/lib/matrix-media-store"

    @property
    def lib(self) -> Path:
        return self.root / "usr/local/lib/matrix-media-store"

    @property
    def units(self) -> Path:
        return self.root / "etc/systemd/system"

    @property
    def agent(self) -> Path:
        return self.lib / "agent.pyz"

    @property
    def goofys(self) -> Path:
        return self.lib / "goofys"

    @property
    def settings(self) -> Path:
        return self.etc / "settings.json"

    @property
    def earlier(self) -> Path:
        return self.etc / "earlier.json"

    @property
    def rclone_conf(self) -> Path:
        return self.etc / "rclone.conf"

    @property
    def credentials(self) -> Path:
        return self.etc / "credentials.env"

    @property
    def staging(self) -> Path:
        # Not under /matrix: its backups would follow the mount into the bucket.
        return self.var / "staging"

    @property
    def journal(self) -> Path:
        return self.var / "journal.json"

    @property
    def manifest(self) -> Path:
        return self.var / "manifest.sqlite"

    @property
    def reserve(self) -> Path:
        return self.var / "reserve"

    @property
    def lock(self) -> Path:
        return self.var / "lock"

    @property
    def gave_way(self) -> Path:
        """There as long as the playbook's mount serves in the place of ours."""
        return self.var / "gave-way"

    @property
    def request(self) -> Path:
        return self.var / "request.json"

    @property
    def verdict(self) -> Path:
        return self.var / "verdict.json"

    @property
    def progress(self) -> Path:
        return self.var / "progress.log"


#: This server's.
HERE = Places()
