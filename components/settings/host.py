"""This module has the settings of the homeserver, the mount, and how files are copied."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, SecretStr

from agent.model.settings import megabytes

from .fields import Folder, OptionalFolder, Section, Unit, Url, fits, must, setting

#: The published goofys 0.24.0 for linux/amd64, its last release.
GOOFYS_URL = "https://github.com/kahing/goofys/releases/download/v0.24.0/goofys"
GOOFYS_SHA256 = "729688b6bc283653ea70f1b2b6406409ec1460065161c680f3b98b185d4bf364"
#: Synapse rebuilds previews of web pages and expires them every few seconds: not worth copying.
LEFT_OUT = ["url_cache", "url_cache_thumbnails"]


def _is_download(value: str) -> bool:
    return value.startswith(("https://", "file:///"))


def _is_sha256(value: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{64}", value))


class Host(Section):
    """This section describes the homeserver on the server."""

    media_store: Folder = setting(
        "/matrix/synapse/storage/media-store",
        "Synapse's media store on the server",
        "give its absolute path on the server",
    )
    adopt_mount: bool = setting(
        False,
        "Take over a mount of the stack's bucket that serves as the media store already, the playbook's goofys or one "
        "of your own: the server goes straight to phase clean",
        "use true or false; true only for a server that is on goofys, s3fs or rclone already",
    )
    storage_provider: Literal["none", "from", "to"] = setting(
        "none",
        "What the stack has to do with synapse-s3-storage-provider: `from` takes its place on its own bucket, which is "
        "the stack's, and keeps its nightly job off; `to` makes a key for it, with which `media-store playbook-vars` "
        "prints its lines once all media are in the bucket",
        "use none, from or to",
    )
    services: list[Unit] = setting(
        [],
        "Units that write media; empty for the playbook's Synapse and its workers",
        "name systemd units, such as x.service",
    )
    homeserver_url: Url = setting(
        "http://127.0.0.1:8008",
        "Where the homeserver answers, seen from the server; the playbook does not publish the default's port: "
        "give https://matrix.<domain> there",
        "give scheme, host and port, such as http://127.0.0.1:8008 or https://matrix.example.com",
    )
    database: Annotated[
        str,
        must(
            lambda v: v == "auto" or v.startswith(("/", "sqlite:/")),
            "is neither auto, sqlite:/path nor a program's path",
        ),
    ] = setting(
        "auto",
        "Synapse's database, asked only whether media were purged: auto, sqlite:/path, or a psql-like program's path",
        "leave it out for servers of the playbook",
    )
    stop_seconds: int = setting(
        180,
        "Seconds the services may take to stop; the window is given up after that, and they run on as before",
        "give a number from 5 to 3600",
        ge=5,
        le=3600,
    )
    start_seconds: int = setting(
        300,
        "Seconds the homeserver may take to answer after its start, before the store goes back to where it was",
        "give a number from 5 to 3600",
        ge=5,
        le=3600,
    )
    metrics_folder: OptionalFolder = setting(
        "",
        "Folder on the server from which node_exporter reads metrics (--collector.textfile.directory): those of the "
        "media store are written there once a minute; empty for none",
        "give the absolute path of a folder that is there, such as /var/lib/prometheus/node-exporter, or leave it out",
    )
    access_token: SecretStr = setting(
        SecretStr(""),
        "Access token of a Matrix user for a test upload and download in `live` (secret, optional)",
        "set it with `pulumi config set --secret --path host.accessToken`",
    )


def provider_clashes(host: Host, where: str, on_destroy: str) -> list[str]:
    """Return a line for each thing that is wrong together with host.storageProvider; `where` is the store's setting."""
    clashes = []
    if host.storage_provider == "to" and on_destroy == "delete":
        clashes.append(f"{where}.onDestroy: would delete the bucket that the provider is to serve from -- use retain")
    if host.storage_provider == "from" and host.adopt_mount:
        clashes.append("host.storageProvider: a mount that serves already is taken over by itself -- use none")
    return clashes


#: Memory that a mount may take without a cache.
MEMORY = "1G"


class Mount(Section):
    """This section says how the bucket is mounted."""

    program: Literal["auto", "goofys", "rclone"] = setting(
        "auto",
        "What mounts the bucket: goofys, or rclone; auto is goofys but with mount.cache, with store.sseCustomerKey, "
        "which goofys would show to every local user, and on stores where goofys breaks",
        "use auto, goofys or rclone",
    )
    goofys_url: Annotated[
        str,
        must(_is_download, "is neither an https:// nor a file:/// address"),
    ] = setting(GOOFYS_URL, "Where the server gets goofys", "use https://…, or file:///path for a file on the server")
    goofys_sha256: Annotated[str, must(_is_sha256, "is not a SHA-256 sum")] = setting(
        GOOFYS_SHA256, "SHA-256 of that file", "give the 64 hexadecimal digits of a file you trust"
    )
    rclone_url: Annotated[
        str, must(lambda v: not v or _is_download(v), "is neither an https:// nor a file:/// address")
    ] = setting(
        "",
        "Where the server gets rclone, which copies (a program, or the zip file in which it is published); "
        "empty for rclone 1.75.1 from github.com, pinned for amd64 and arm64",
        "leave it out, or use https://… or file:///path for a file on the server",
    )
    rclone_sha256: Annotated[str, must(lambda v: not v or _is_sha256(v), "is not a SHA-256 sum")] = setting(
        "",
        "SHA-256 of that file; empty with an empty mount.rcloneUrl",
        "give the 64 hexadecimal digits of a file you trust",
    )
    memory_max: Annotated[
        str, must(lambda v: bool(re.fullmatch(r"([1-9]\d*[MG])?", v)), "is not an amount of memory")
    ] = setting(
        "",
        "Most memory the mount may take, then it is restarted; empty for 1G, and for a tenth of mount.cache more, "
        "since rclone remembers each file that is in it",
        "use digits and M or G, such as 512M or 2G, or leave it out",
    )
    cache: Annotated[str, must(lambda v: bool(re.fullmatch(r"([1-9]\d*[MGT])?", v)), "is not an amount of disk")] = (
        setting(
            "",
            "Most of the server's disk for a cache in front of the bucket, by rclone: what is read often comes from "
            "it, and an upload is answered once it is on that disk, and goes up at once; empty for none",
            "use digits and M, G or T, such as 20G, or leave it out",
        )
    )
    cache_folder: Folder = setting(
        "/var/cache/matrix-media-store",
        "Where that cache lies on the server",
        "give the absolute path of a folder that root alone may write to, on a disk with room",
    )
    cache_keep_free: Annotated[
        str, must(lambda v: bool(re.fullmatch(r"[1-9]\d*[MGT]", v)), "is not an amount of disk")
    ] = setting(
        "2G",
        "Least free space that the cache leaves on its disk; what is in the bucket gives way first",
        "use digits and M, G or T, such as 2G",
    )
    managed_by: Literal["stack", "playbook"] = setting(
        "stack",
        "Who mounts the bucket as the media store: this stack, or the playbook once it has the lines of "
        "`media-store playbook-vars`; guard, watchdog and status stay",
        "use stack or playbook",
    )

    @property
    def memory(self) -> str:
        """Return the most memory that the mount may take, as systemd reads it."""
        if self.memory_max or not self.cache:
            return self.memory_max or MEMORY
        return f"{megabytes(MEMORY) + megabytes(self.cache) // 10}M"

    def clashes(self) -> list[str]:
        """Return a line with its remedy for each thing of this section that is wrong together with another."""
        clashes = []
        if bool(self.rclone_url) != bool(self.rclone_sha256):
            clashes.append("mount.rcloneUrl: goes together with mount.rcloneSha256 -- give both, or leave both out")
        if self.cache and self.program == "goofys":
            clashes.append("mount.cache: goofys has none -- use rclone as mount.program, or leave that out")
        return clashes


class Copy(Section):
    """This section says how files are copied."""

    method: Literal["rclone", "rsync", "b2"] = setting(
        "rclone",
        "rclone straight to the bucket, rsync through the mount (slow), or Backblaze's own b2 command line",
        "use rclone, rsync or b2",
    )
    transfers: int = setting(
        0,
        "Files copied at once by rclone or b2; with 0 the server chooses: 32 beside the store, up to 128 far from it, "
        "fewer where its memory is small",
        "give a number from 0 to 256",
        ge=0,
        le=256,
    )
    bandwidth: Annotated[str, must(lambda v: bool(re.fullmatch(r"([1-9]\d*[KMG])?", v)), "is not a bandwidth")] = (
        setting(
            "",
            "Most bytes a second that copying with rclone or rsync may take while services run; empty for no limit",
            "use digits and K, M or G, such as 10M for 10 MiB/s",
        )
    )
    exclude: list[
        Annotated[str, must(lambda v: bool(v) and "/" not in v and v not in (".", ".."), "is not a folder's name")]
    ] = setting(
        LEFT_OUT,
        "Folders at the top of the media store that are left out",
        "name folders at the top, without slashes",
    )


class Cutover(Section):
    """This section says how the bucket and the local copy take each other's place."""

    method: Literal["auto", "hold", "restart"] = setting(
        "auto",
        "What the services do at a cutover, on the way home and as the mount changes: hold has them stand still for "
        "less than a second, restart stops and starts them; auto holds them where that can be, else restarts them",
        "use auto, hold or restart",
    )


class Migration(Section):
    """This section says what may go without asking."""

    deletion_limit_percent: float = setting(
        5.0,
        "Most files, in percent, whose deletion on the other side is believed without confirmation",
        "give a number from 0 to 100",
        ge=0,
        le=100,
    )
    window_seconds: int = setting(
        300,
        "Seconds that copying the last files may take while the services are stopped; then they run on as before",
        "give a number from 10 to 7200",
        ge=10,
        le=7200,
    )
    clean_at_once: bool = setting(
        False,
        "Whether one update may go from `mirror` or before to `clean`; else `clean` follows on a server that is `live`",
        "use true or false",
    )
    confirmed: Annotated[list[str], AfterValidator(fits)] = setting(
        [],
        "Files that `clean` may remove although the bucket lacks them or has other content, and that `pulumi destroy` "
        "with store.onDestroy: delete may remove from the bucket although they are gone here",
        "list paths in the media store, and confirm in several rounds if they are many",
    )
