"""What a run of matrix-docker-ansible-deploy lays of synapse-s3-storage-provider: its configuration, its nightly job.

docs/playbook.md says where the playbook has what this copies. The module and the job's program are the published ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PREFIX = "matrix_synapse_ext_synapse_s3_storage_provider_"
JOB = "matrix-synapse-s3-storage-provider-migrate"
BASE = Path("/matrix/synapse/ext/s3-storage-provider")
#: The sandbox's stores have certificates of its own authority, which boto3 must be told.
TRUST = "--env=AWS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt"
_MEDIA = "--mount type=bind,src=/matrix/synapse/storage,dst=/matrix-media-store-parent,bind-propagation=slave"


def _told(told: Mapping[str, Any]) -> dict[str, Any]:
    """What vars.yml says of the provider, without the names' common beginning; empty where it is not enabled."""
    var = {name.removeprefix(PREFIX): value for name, value in told.items() if name.startswith(PREFIX)}
    return var if var.get("enabled") else {}


def is_enabled(told: Mapping[str, Any]) -> bool:
    """Whether vars.yml has the provider set up."""
    return bool(_told(told))


def configuration(told: Mapping[str, Any]) -> str:
    """What homeserver.yaml says of it; empty where it is not enabled."""
    var = _told(told)
    if not var:
        return ""
    config = {"bucket": var["config_bucket"], "region_name": var["config_region_name"]}
    for name in ("endpoint_url", "access_key_id", "secret_access_key", "storage_class", "prefix"):
        if var.get(f"config_{name}"):
            config[name] = var[f"config_{name}"]
    provider = {
        "module": "s3_storage_provider.S3StorageProviderBackend", "store_local": True, "store_remote": True,
        "store_synchronous": True, "config": config,
    }  # fmt: skip
    return f"media_storage_providers: {json.dumps([provider])}\n"


def files(told: Mapping[str, Any], image: str, user: int, password: str) -> dict[str, str]:
    """Texts of the job's files by path; a program's begins with `#!`."""
    var = _told(told)
    if not var:
        return {}
    database = {"user": "synapse", "password": password, "database": "synapse", "host": "matrix-postgres", "port": 5432}
    environment = {
        "AWS_ACCESS_KEY_ID": var["config_access_key_id"], "AWS_SECRET_ACCESS_KEY": var["config_secret_access_key"],
        "AWS_DEFAULT_REGION": var["config_region_name"], "ENDPOINT": var["config_endpoint_url"],
        "BUCKET": var["config_bucket"], "STORAGE_CLASS": var.get("config_storage_class", "STANDARD"),
        "MEDIA_PATH": "/matrix-media-store-parent/media-store", "UPDATE_DB_DURATION": "0d",
    }  # fmt: skip
    program = "python3 /opt/synapse/bin/s3_media_upload"
    steps = [
        f"{program} update-db $UPDATE_DB_DURATION",
        f"{program} --no-progress check-deleted $MEDIA_PATH",
        f"{program} --no-progress upload $MEDIA_PATH $BUCKET --delete --storage-class $STORAGE_CLASS "
        "--endpoint-url $ENDPOINT",
    ]
    command = " && ".join(steps)
    return {
        f"{BASE}/env": "".join(f"{name}={value}\n" for name, value in environment.items()),
        f"{BASE}/data/database.yaml": json.dumps(database),
        f"{BASE}/bin/migrate": (
            f"#!/bin/bash\n\nexec docker run --rm --env-file={BASE}/env {TRUST} {_MEDIA} "
            f"--mount type=bind,src={BASE}/data,dst=/data --workdir=/data --user={user}:{user} "
            f"--network=matrix-postgres {image} sh -c '{command}'\n"
        ),
    }


def units(told: Mapping[str, Any]) -> dict[str, str]:
    """Texts of the job's units by name."""
    if not _told(told):
        return {}
    return {
        f"{JOB}.service": (
            "[Unit]\nDescription=Migrates locally-stored Synapse media store files to S3\n"
            f"[Service]\nType=oneshot\nExecStart={BASE}/bin/migrate\n"
        ),
        f"{JOB}.timer": (
            "[Unit]\nDescription=Migrates locally-stored Synapse media store files to S3\n"
            f"[Timer]\nUnit={JOB}.service\nOnCalendar=*-*-* 05:00:00\n[Install]\nWantedBy=timers.target\n"
        ),
    }
