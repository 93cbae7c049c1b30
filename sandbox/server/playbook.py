"""What a run of matrix-docker-ansible-deploy does to the media store's surroundings; runs on the server.

As its roles do (synapse, goofys, systemd_service_manager): it makes the media store's folder where there
is none, takes a matrix-goofys.service away, templates matrix-synapse.service, and restarts the homeserver.
Standard input has the unit's text.
"""

import os
import pathlib
import pwd
import subprocess
import sys

STORE = pathlib.Path("/matrix/synapse/storage/media-store")
UNITS = pathlib.Path("/etc/systemd/system")


def systemctl(*arguments: str) -> None:
    subprocess.run(["systemctl", *arguments], check=True)


user = pwd.getpwnam("matrix")
try:
    exists = STORE.exists()
except OSError:
    exists = True  # a mount whose program is gone: the playbook leaves it alone then
if not exists:
    STORE.mkdir(mode=0o750)
    os.chown(STORE, user.pw_uid, user.pw_gid)
goofys = UNITS / "matrix-goofys.service"
if goofys.exists():
    systemctl("disable", "--now", goofys.name)
    goofys.unlink()
(UNITS / "matrix-synapse.service").write_text(sys.stdin.read())
systemctl("daemon-reload")
systemctl("stop", "matrix-synapse.service")
systemctl("start", "--no-block", "matrix-synapse.service")
