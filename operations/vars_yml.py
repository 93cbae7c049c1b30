"""This module reads a stack's settings from a playbook's `inventory/host_vars/<domain>/vars.yml`. It is pure."""

from __future__ import annotations

from pathlib import PurePosixPath

from . import vars_store
from .variables import Found, Hidden, Variables, load, said
from .workspace import OperationError

#: Where the playbook lays everything, unless it is told otherwise.
BASE_PATH = "/matrix"
_SYNAPSE = "matrix_synapse_"
_COMPANION = "matrix_synapse_reverse_proxy_companion_"
#: What the names of the Postgres role's variables begin with, now and in earlier playbooks.
_POSTGRES = ("postgres_", "devture_postgres_", "matrix_postgres_")
#: What the container's port is bound to, where that is every address of the server: how the server itself reaches it.
_ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


def read(text: str) -> Found:
    """Return the stack's settings that follow from the file. Raises OperationError where the migration cannot work."""
    variables = load(text)
    folder = _media_store(variables)
    media_store = folder.settings.get("host.mediaStore") or Hidden(folder.hidden["host.mediaStore"])
    return (
        _implementation(variables)
        | folder
        | _address(variables)
        | _database(variables)
        | vars_store.read(variables, media_store)
    )


def _implementation(variables: Variables) -> Found:
    """Return a note or nothing. Raises OperationError where the homeserver is another than Synapse."""
    found = variables.text("matrix_homeserver_implementation")
    if isinstance(found, Hidden):
        return Found(notes=(f"{found}: only Synapse's media store is supported",))
    if found not in ("", "synapse"):
        raise OperationError(
            f"the homeserver is {found}: only Synapse's media store is supported -- "
            "for Dendrite and Conduit, stop it, copy its media folder with rclone, and mount the bucket in its place"
        )
    return Found()


def _below(folder: str, name: str) -> str:
    """Return a path below a folder; it is hidden where the folder is."""
    return folder if isinstance(folder, Hidden) else str(PurePosixPath(folder, name))


def _base(variables: Variables) -> str:
    return variables.text("matrix_base_data_path") or BASE_PATH


def _media_store(variables: Variables) -> Found:
    """Return where Synapse's media store is on the server.

    Its container sees the storage folder alone, and of the store's path takes the name:
    https://github.com/spantaleev/matrix-docker-ansible-deploy/blob/master/roles/custom/matrix-synapse/vars/main.yml
    """
    synapse = variables.text(f"{_SYNAPSE}base_path") or _below(_base(variables), "synapse")
    storage = variables.text(f"{_SYNAPSE}storage_path") or _below(synapse, "storage")
    store = variables.text(f"{_SYNAPSE}media_store_path")
    if not store or isinstance(store, Hidden):
        return said("host.mediaStore", store or _below(storage, "media-store"))
    if isinstance(storage, Hidden):
        return said("host.mediaStore", storage, default=store)
    seen = _below(storage, PurePosixPath(store).name)
    if PurePosixPath(store) != PurePosixPath(seen):
        why = (
            f"{_SYNAPSE}media_store_path is {store}, outside of the storage folder: Synapse writes to {seen} then, "
            "unless a mount of yours leads elsewhere"
        )
        return said("host.mediaStore", Hidden(why), default=seen)
    return said("host.mediaStore", seen)


def _address(variables: Variables) -> Found:
    """Return the server's name, and where the homeserver answers on the server itself: a port of its own, or there."""
    domain = variables.text("matrix_domain")
    host = variables.text("matrix_server_fqn_matrix") or (domain if isinstance(domain, Hidden) else "")
    if domain and not host:
        host = f"matrix.{domain}"
    scheme = "https" if variables.flag("matrix_playbook_ssl_enabled", default=True) else "http"
    public = f"{scheme}://{host}" if host and not isinstance(host, Hidden) else ""
    return said("server.host", host) | said("host.homeserverUrl", _local_url(variables) or public)


def _local_url(variables: Variables) -> str:
    """Return the address of the port that the container publishes on the server; it is empty where it does not.

    With workers that is their proxy's: the main process does not serve media then.
    """
    workers = variables.text(f"{_SYNAPSE}workers_enabled")
    interface = variables.text("matrix_playbook_service_host_bind_interface_prefix")
    proxy = variables.text(f"{_COMPANION}container_client_api_host_bind_port") or (
        interface if isinstance(interface, Hidden) or not interface else f"{interface}8008"
    )
    own = variables.text(f"{_SYNAPSE}container_client_api_host_bind_port")
    if isinstance(workers, Hidden):
        return workers if proxy or own else ""
    bound = proxy if variables.flag(f"{_SYNAPSE}workers_enabled") else own
    if not bound or isinstance(bound, Hidden):
        return bound
    address, _, port = bound.rpartition(":")
    if not port.isdecimal():
        return Hidden(f"the homeserver's port is bound to {bound}, which is no address and port")
    return f"http://{_ANY_ADDRESS.get(address, address)}:{port}"


def _psql(variables: Variables) -> str:
    """Return the path of the playbook's program that asks its Postgres."""
    folder = variables.text(*(f"{name}base_path" for name in _POSTGRES)) or _below(_base(variables), "postgres")
    programs = variables.text(*(f"{name}bin_path" for name in _POSTGRES)) or _below(folder, "bin")
    return _below(programs, "cli-non-interactive")


def _database(variables: Variables) -> Found:
    """Return the program that asks Synapse's database, where it is not the playbook's usual one, or a note."""
    psql, usual = _psql(variables), _psql(Variables({}))
    host, name = (variables.text(f"{_SYNAPSE}database_{part}") for part in ("host", "database"))
    for part in (host, name):
        if isinstance(part, Hidden):
            return said("host.database", part, default="auto" if isinstance(psql, Hidden) or psql == usual else psql)
    own = variables.text(*(f"{role}{part}" for part in ("connection_hostname", "identifier") for role in _POSTGRES))
    enabled = ("matrix_playbook_synapse_uses_managed_postgres", *(f"{role}enabled" for role in _POSTGRES))
    is_managed = variables.flag(*enabled, default=True)
    if not is_managed or host not in ("", own or "matrix-postgres"):
        return _elsewhere(f"is on a Postgres of your own{f' at {host}' if host else ''}")
    if name not in ("", "synapse"):
        return _elsewhere(f"is called {name}, and not synapse")
    if isinstance(psql, Hidden):
        return said("host.database", psql, default="auto")
    return Found() if psql == usual else said("host.database", psql)


def _elsewhere(where: str) -> Found:
    return Found(
        notes=(
            f"Synapse's database {where}: this program cannot ask it by itself, so nothing counts as purged, until "
            "host.database names a psql-like program on the server that reaches it -- docs/runbook.md says how to "
            'make one under "A database elsewhere"',
        )
    )
