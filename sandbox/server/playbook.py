"""What a run of matrix-docker-ansible-deploy does to the media store's surroundings; runs on the server.

As its roles do (synapse, goofys, systemd_service_manager): it makes the media store's folder where there is none, lays
all units, lays or takes away matrix-goofys.service and the storage provider's job, and restarts what it laid. Standard
input is JSON: `units`, texts by name; `files`, texts by path; `keys`, the environment file of its mount of the bucket;
and `services`: whether the homeserver and that mount are restarted, only started (as in a run that found nothing of
theirs changed), or left as they are (as with the playbook's tag setup-all).
"""

import json
import os
import pathlib
import pwd
import subprocess
import sys

STORE = pathlib.Path("/matrix/synapse/storage/media-store")
UNITS = pathlib.Path("/etc/systemd/system")
ENVIRONMENT = pathlib.Path("/matrix/synapse/config/env-goofys")
JOB = "matrix-synapse-s3-storage-provider-migrate"
GOOFYS, HOMESERVER = "matrix-goofys.service", "matrix-synapse.service"


def systemctl(*arguments: str) -> None:
    subprocess.run(["systemctl", *arguments], check=True)


def lay_keys(text: str) -> None:
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    ENVIRONMENT.touch(mode=0o600)
    ENVIRONMENT.write_text(text)


def uninstall_goofys() -> None:
    if (UNITS / GOOFYS).exists():
        systemctl("disable", "--now", GOOFYS)
        (UNITS / GOOFYS).unlink()
        ENVIRONMENT.unlink(missing_ok=True)


def uninstall_job() -> None:
    for kind in ("timer", "service"):
        if (UNITS / f"{JOB}.{kind}").exists():
            systemctl("stop", f"{JOB}.{kind}")
            (UNITS / f"{JOB}.{kind}").unlink()


def lay_file(path: pathlib.Path, text: str, user: pwd.struct_passwd) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o750 if text.startswith("#!") else 0o640)
    for each in (path, path.parent):
        os.chown(each, user.pw_uid, user.pw_gid)


def main() -> None:
    document = json.load(sys.stdin)
    units = document["units"]
    user = pwd.getpwnam("matrix")
    try:
        exists = STORE.exists()
    except OSError:
        exists = True  # a mount whose program is gone, or that root may not enter: the playbook leaves it alone then
    if not exists:
        STORE.mkdir(mode=0o750)
        os.chown(STORE, user.pw_uid, user.pw_gid)
    if GOOFYS in units:
        lay_keys(document["keys"])
    else:
        uninstall_goofys()
    if f"{JOB}.timer" not in units:
        uninstall_job()
    for path, text in document["files"].items():
        lay_file(pathlib.Path(path), text, user)
    for name, text in units.items():
        (UNITS / name).write_text(text)
    systemctl("daemon-reload")
    services = document["services"]
    if services == "leave":
        return
    if services == "restart":
        systemctl("stop", HOMESERVER)
    if GOOFYS in units:
        systemctl("enable", GOOFYS)
        systemctl(services, GOOFYS)
    if f"{JOB}.timer" in units:
        systemctl("start", f"{JOB}.timer")
    # The homeserver last; what it wants comes with it.
    left = {GOOFYS, HOMESERVER, f"{JOB}.timer", f"{JOB}.service"}
    systemctl("start", "--no-block", *sorted(set(units) - left), HOMESERVER)


main()
