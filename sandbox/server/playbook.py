"""What a run of matrix-docker-ansible-deploy does to the media store's surroundings; runs on the server.

As its roles do (synapse, goofys, systemd_service_manager): it makes the media store's folder where there
is none, lays or takes away matrix-goofys.service, templates matrix-synapse.service, and restarts both.
Standard input is JSON: `unit`, the homeserver's; `vars`, what vars.yml says; and `services`: whether both are
restarted, only started (as in a run that found nothing of theirs changed), or left as they are (as with the
playbook's tag setup-all). goofys runs as the playbook has it run, but for the container around it: as the media
store's owner, who mounts with fusermount.
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
GOOFYS = """[Unit]
Description=Matrix Goofys media store
DefaultDependencies=no

[Service]
Type=simple
User=matrix
EnvironmentFile={environment}
ExecStart={goofys} -f {where} --region {region} --stat-cache-ttl 60m0s --type-cache-ttl 60m0s \
    --dir-mode 0700 --file-mode 0700 {bucket} {path}
ExecStartPost=/bin/sleep 3
TimeoutStartSec=5min
ExecStop=-/usr/bin/fusermount -u {path}
Restart=always
RestartSec=5
SyslogIdentifier=matrix-goofys

[Install]
WantedBy=multi-user.target
"""
REQUIRED = "Requires=matrix-goofys.service\nAfter=matrix-goofys.service\n"


def systemctl(*arguments: str) -> None:
    subprocess.run(["systemctl", *arguments], check=True)


def install_goofys(told: dict[str, object]) -> None:
    def var(name: str) -> object:
        return told[f"matrix_s3_media_store_{name}"]

    ENVIRONMENT.parent.mkdir(exist_ok=True)
    ENVIRONMENT.touch(mode=0o600)
    ENVIRONMENT.write_text(f"AWS_ACCESS_KEY={var('aws_access_key')}\nAWS_SECRET_KEY={var('aws_secret_key')}\n")
    own = told.get("matrix_s3_media_store_custom_endpoint_enabled", False)
    where = f"--endpoint={var('custom_endpoint')}" if own else "--storage-class=STANDARD_IA"
    (UNITS / "matrix-goofys.service").write_text(
        GOOFYS.format(
            environment=ENVIRONMENT, goofys="/opt/goofys/goofys", where=where,
            region=told.get("matrix_s3_media_store_region", "eu-central-1"), bucket=var("bucket_name"), path=STORE,
        )
    )  # fmt: skip


def uninstall_goofys() -> None:
    unit = UNITS / "matrix-goofys.service"
    if unit.exists():
        systemctl("disable", "--now", unit.name)
        unit.unlink()
        ENVIRONMENT.unlink(missing_ok=True)


def main() -> None:
    document = json.load(sys.stdin)
    told, unit = document["vars"], document["unit"]
    wanted = told.get("matrix_s3_media_store_enabled", False)
    user = pwd.getpwnam("matrix")
    try:
        exists = STORE.exists()
    except OSError:
        exists = True  # a mount whose program is gone, or that root may not enter: the playbook leaves it alone then
    if not exists:
        STORE.mkdir(mode=0o750)
        os.chown(STORE, user.pw_uid, user.pw_gid)
    if wanted:
        install_goofys(told)
        unit = unit.replace("[Unit]\n", f"[Unit]\n{REQUIRED}", 1)
    else:
        uninstall_goofys()
    (UNITS / "matrix-synapse.service").write_text(unit)
    systemctl("daemon-reload")
    services = document["services"]
    if services == "leave":
        return
    if services == "restart":
        systemctl("stop", "matrix-synapse.service")
    if wanted:
        systemctl("enable", "matrix-goofys.service")
        systemctl(services, "matrix-goofys.service")
    systemctl("start", "--no-block", "matrix-synapse.service")


main()
