"""What matrix-docker-ansible-deploy lays on a server: units, configuration and data, for each kind of server.

docs/playbook.md says where the playbook has what the templates here copy.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from . import provider
from .image import MATRIX_ID
from .kinds import Kind

HERE = Path(__file__).parent
STORE = Path("/matrix/synapse/storage/media-store")
CONFIGURATION = Path("/matrix/synapse/config")
ENVIRONMENT = CONFIGURATION / "env-goofys"
GOOFYS = "matrix-goofys.service"
#: The containers' image, by its version; a newer one is the same under another name.
IMAGE = "localhost/matrix:{}"
VERSIONS = ("1", "2")
PASSWORD = "sandbox-database-only"
NETWORKS = ("matrix-homeserver", "matrix-postgres")
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"), undefined=jinja2.StrictUndefined, autoescape=False,
    trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
)  # fmt: skip
_SEES_MEDIA = "--mount type=bind,src=/matrix/synapse/storage,dst=/matrix-media-store-parent,bind-propagation=slave"
_SEES_CONFIGURATION = "--mount type=bind,src=/matrix/synapse/config,dst=/data,ro"


@dataclass(frozen=True)
class Worker:
    """A worker of Synapse, and what the reverse proxy sends to it."""

    name: str
    app: str
    port: int
    resources: tuple[str, ...]
    locations: tuple[str, ...]


#: A kind has the first of these, or more.
WORKERS = (
    Worker(
        "matrix-synapse-worker-media-repository-0", "media_repository", 18551, ("media", "client", "federation"),
        (
            "^/_matrix/media/", "^/_matrix/client/v1/media/", "^/_matrix/federation/v1/media/",
            "^/_synapse/admin/v1/purge_media_cache$", "^/_synapse/admin/v1/room/.*/media.*$",
            "^/_synapse/admin/v1/user/.*/media.*$", "^/_synapse/admin/v1/media/.*$",
            "^/_synapse/admin/v1/users/.*/media$",
        ),
    ),
    Worker(
        "matrix-synapse-worker-generic-0", "generic_worker", 18111, ("client", "federation"),
        ("^/_matrix/client/(api/v1|r0|v3|unstable)/sync$", "^/_matrix/client/versions$"),
    ),
)  # fmt: skip


def workers(kind: Kind) -> tuple[Worker, ...]:
    """The kind's workers; none where Synapse is one process."""
    return WORKERS[: kind.workers]


def units(kind: Kind, told: Mapping[str, Any], version: str = VERSIONS[0]) -> dict[str, str]:
    """Texts of all units by their names, as a run with these variables of vars.yml lays them."""
    image = IMAGE.format(version)
    mounts = told.get("matrix_s3_media_store_enabled", False)
    goofys = {GOOFYS: _goofys(kind, told, image)} if mounts else {}
    if not kind.in_containers:
        text = _render("plain/matrix-synapse.service.j2", required=list(goofys))
        return {**goofys, "matrix-synapse.service": text}
    server = ["docker.service"]
    parts = ["matrix-postgres.service", "matrix-valkey.service"]
    sees = [_SEES_CONFIGURATION, _SEES_MEDIA, *([provider.TRUST] if provider.is_enabled(told) else [])]
    data = ["--env-file=/matrix/postgres/env-postgres-server", "--mount type=bind,src=/etc/passwd,dst=/etc/passwd,ro",
            "--mount type=bind,src=/matrix/postgres/data,dst=/var/lib/postgresql/data",
            "--shm-size=256M", "--tmpfs=/var/run/postgresql:rw,noexec,nosuid,size=100m"]  # fmt: skip
    made = {
        "matrix-postgres": ("Postgres server", server, [], data, "postgres -c listen_addresses=* -c jit=off",
                            ["matrix-postgres"]),
        "matrix-valkey": ("Valkey server", server, [], [], "redis-server --save '' --protected-mode no", []),
        "matrix-synapse": ("Synapse server", [*server, *parts, *goofys],
                           [f"{worker.name}.service" for worker in workers(kind)], sees,
                           "run -m synapse.app.homeserver -c /data/homeserver.yaml", ["matrix-postgres"]),
        **{
            worker.name: (f"Synapse worker ({worker.name})", ["matrix-synapse.service"], [], sees,
                          f"run -m synapse.app.{worker.app} -c /data/homeserver.yaml -c /data/{worker.name}.yaml",
                          ["matrix-postgres"])
            for worker in workers(kind)
        },
        "matrix-synapse-reverse-proxy-companion": (
            "Synapse reverse-proxy companion", server, ["matrix-synapse.service"],
            ["-p 8008:8008",
             "--mount type=bind,src=/matrix/synapse-reverse-proxy-companion/nginx.conf,dst=/etc/nginx/nginx.conf,ro"],
            "nginx", []),
    }  # fmt: skip
    return {
        **goofys,
        **provider.units(told),
        **{
            f"{name}.service": _render(
                "docker/container.service.j2", name=name, description=description, required=required, wanted=wanted,
                user=MATRIX_ID, arguments=arguments, command=command, networks=networks, image=image,
            )
            for name, (description, required, wanted, arguments, command, networks) in made.items()
        },
    }  # fmt: skip


def homeserver(kind: Kind, told: Mapping[str, Any]) -> str:
    """Synapse's configuration, as a run with these variables of vars.yml lays it."""
    return _render(
        "homeserver.yaml", in_containers=kind.in_containers, password=PASSWORD,
        config="/data" if kind.in_containers else CONFIGURATION, workers=[worker.name for worker in workers(kind)],
    ) + provider.configuration(told)  # fmt: skip


def files(kind: Kind, told: Mapping[str, Any], version: str = VERSIONS[0]) -> dict[str, str]:
    """Texts of other files than units by their paths, as a run with these variables of vars.yml lays them."""
    laid = {f"{CONFIGURATION}/homeserver.yaml": homeserver(kind, told)}
    return {**laid, **provider.files(told, IMAGE.format(version), MATRIX_ID, PASSWORD)}


def _goofys(kind: Kind, told: Mapping[str, Any], image: str) -> str:
    var = {name.removeprefix("matrix_s3_media_store_"): value for name, value in told.items()}
    own = var.get("custom_endpoint_enabled", False)
    return _render(
        f"{'docker' if kind.in_containers else 'plain'}/matrix-goofys.service.j2",
        where=f"--endpoint={var['custom_endpoint']}" if own else "--storage-class=STANDARD_IA",
        region=var.get("region", "eu-central-1"), bucket=var["bucket_name"], path=STORE, environment=ENVIRONMENT,
        user=MATRIX_ID, image=image, required=["docker.service"],
    )  # fmt: skip


def keys(told: Mapping[str, Any]) -> str:
    """The environment file of the playbook's mount; empty where it has none."""
    if not told.get("matrix_s3_media_store_enabled", False):
        return ""
    key, secret = (told[f"matrix_s3_media_store_aws_{name}_key"] for name in ("access", "secret"))
    return f"AWS_ACCESS_KEY={key}\nAWS_SECRET_KEY={secret}\n"


def lay(kind: Kind, root: Path) -> None:
    """/matrix as the playbook lays it below a root folder, without media and data."""
    base = root / "matrix"
    config, storage = base / "synapse/config", base / "synapse/storage"
    for folder in (config, storage / "media-store"):
        folder.mkdir(parents=True)
    have = workers(kind)
    (config / "homeserver.yaml").write_text(homeserver(kind, {}))
    (config / "log.yaml").write_text(_render("log.yaml"))
    # https://element-hq.github.io/synapse/latest/usage/configuration/config_documentation.html#signing_key_path
    seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    (config / "signing.key").write_text(f"ed25519 a_sand {seed}\n")
    if kind.in_containers:
        for worker in have:
            (config / f"{worker.name}.yaml").write_text(_render("docker/worker.yaml", **vars(worker)))
        _lay_the_rest(base, have)
    own(base)
    base.chmod(0o750)


def _lay_the_rest(base: Path, have: tuple[Worker, ...]) -> None:
    proxy, postgres = base / "synapse-reverse-proxy-companion", base / "postgres"
    for folder in (proxy, postgres / "data", postgres / "bin"):
        folder.mkdir(parents=True)
    (proxy / "nginx.conf").write_text(_render("docker/nginx.conf", workers=have))
    (postgres / "env-postgres-server").write_text(
        f"POSTGRES_USER=synapse\nPOSTGRES_PASSWORD={PASSWORD}\nPOSTGRES_DB=synapse\n"
        "POSTGRES_INITDB_ARGS=--lc-collate C --lc-ctype C --encoding UTF8\nPGDATA=/var/lib/postgresql/data\n"
    )
    (postgres / "env-postgres-psql").write_text(
        f"PGUSER=synapse\nPGPASSWORD={PASSWORD}\nPGDATABASE=synapse\nPSQL_HISTORY=/dev/null\n"
    )
    client = postgres / "bin/cli-non-interactive"
    client.write_text(_render("docker/cli-non-interactive", user=MATRIX_ID, image=IMAGE.format(VERSIONS[0])))
    client.chmod(0o755)


def own(path: Path) -> None:
    """Give a tree to the server's `matrix` user."""
    for folder, _, files in os.walk(path):
        for item in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(item, MATRIX_ID, MATRIX_ID, follow_symlinks=False)


def _render(template: str, **values: Any) -> str:
    return _TEMPLATES.get_template(template).render(**values)
