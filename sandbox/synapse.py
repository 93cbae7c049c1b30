"""The sandbox's Synapse: users, uploads and downloads through its own API, and the seed of media."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import io
import json
import os
import random
import shlex
import shutil
import sqlite3
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from . import server
from .server import kinds
from .world import SERVER, SERVER_ADDRESS, run, tell

URL = f"http://{SERVER_ADDRESS}:{server.PORT}"
#: On the server itself.
LOCAL_URL = f"http://127.0.0.1:{server.PORT}"
STORE = "matrix/synapse/storage/media-store"
#: Of a server without PostgreSQL.
DATABASE = "matrix/synapse/storage/homeserver.db"
SERVER_NAME = "sandbox.test"
SHARED_SECRET = b"sandbox-only"
#: Images bring five thumbnails each; with these the store has over 1,000 files.
IMAGES, FILES = 180, 40
LARGE_BYTES = 100 << 20

#: Names that trip naive tools, below folders as Synapse lays them.
ODD_NAMES = (
    "remote_content/[::1]:8448/aa/bb/plain",
    "remote_content/example.com:8448/ab/cd/with blank and  two",
    "remote_content/example.org/100%/a%20b/per%cent",
    "remote_content/example.org/a+b/c+d/plus+plus",
    "remote_content/example.org/üm/läut/日本語 ☃ é é",
    "remote_content/example.org/aa/bb/" + "n" * 200,
    "remote_content/example.org/aa/bb/quote'\"`$(id);&|<>*?[x]{y}~!#",
    "remote_content/example.org/aa/bb/-dash",
    "remote_content/example.org/aa/bb/back\\slash",
    "remote_content/example.org/aa/bb/empty",
    "remote_thumbnail/example.org/aa/bb/empty/32-32-image-png-crop",
    "url_cache/2026-01-01/preview-left-out-by-default",
)


@dataclass(frozen=True)
class Media:
    """An uploaded file: its id on this server, its content's SHA-256, and its size in bytes."""

    id: str
    sha256: str
    size: int

    @property
    def key(self) -> str:
        """Its place in the media store."""
        return f"local_content/{self.id[:2]}/{self.id[2:4]}/{self.id[4:]}"


def call(method: str, path: str, body: bytes = b"", token: str = "", kind: str = "application/json") -> bytes:
    request = urllib.request.Request(URL + path, data=body or None, method=method, headers={"Content-Type": kind})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=120) as answer:
        return bytes(answer.read())


def sql(*statements: str) -> None:
    """Run statements in Synapse's database, as soon as it takes them."""
    if not kinds.current().in_containers:
        with contextlib.closing(sqlite3.connect(SERVER / DATABASE, timeout=60)) as tables, tables:
            for statement in statements:
                tables.execute(statement)
        return
    text = " ".join(f"-c {shlex.quote(statement)}" for statement in statements)
    server.ssh("timeout 60 sh -c 'until docker exec matrix-postgres pg_isready -q -U synapse; do sleep 0.2; done'")
    server.ssh(f"docker exec matrix-postgres psql -q -U synapse -d synapse {text}")


def register(name: str, admin: bool = True) -> str:
    """Make a user; returns an access token."""
    path = "/_synapse/admin/v1/register"
    nonce = json.loads(call("GET", path))["nonce"]
    text = b"\0".join([nonce.encode(), name.encode(), b"password", b"admin" if admin else b"notadmin"])
    mac = hmac.new(SHARED_SECRET, text, hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": name, "password": "password", "admin": admin, "mac": mac}
    return str(json.loads(call("POST", path, json.dumps(body).encode()))["access_token"])


def upload(token: str, content: bytes, kind: str = "application/octet-stream") -> Media:
    return uploaded(call("POST", "/_matrix/media/v3/upload?filename=file", content, token, kind), content)


def uploaded(said: bytes, content: bytes) -> Media:
    """What the homeserver answers to an upload of that content."""
    answer = json.loads(said)
    return Media(answer["content_uri"].rpartition("/")[2], hashlib.sha256(content).hexdigest(), len(content))


def download(token: str, media: Media) -> bytes | None:
    """The content, or None where the server does not have it."""
    try:
        return call("GET", f"/_matrix/client/v1/media/download/{SERVER_NAME}/{media.id}", token=token)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def purge(token: str, media: Media) -> None:
    call("DELETE", f"/_synapse/admin/v1/media/{SERVER_NAME}/{media.id}", token=token)


def differing(token: str, media: list[Media]) -> list[str]:
    """Ids of those that do not download byte for byte."""

    def check(item: Media) -> str | None:
        content = download(token, item)
        return None if content is not None and hashlib.sha256(content).hexdigest() == item.sha256 else item.id

    with ThreadPoolExecutor(4) as pool:
        return [found for found in pool.map(check, media) if found]


def _image(number: int) -> bytes:
    """A picture of its own; noise, so that it does not compress away."""
    rng = random.Random(number)
    small = Image.frombytes("RGB", (40, 30), rng.randbytes(40 * 30 * 3))
    out = io.BytesIO()
    small.resize((rng.randrange(400, 900), rng.randrange(300, 700))).save(out, "JPEG", quality=70)
    return out.getvalue()


def seed(kind: kinds.Kind) -> dict[str, Any]:
    """Data of a Synapse with users and media, made once: the start of every fresh server of this kind."""
    record = kind.seed / "record.json"
    if record.exists():
        made: dict[str, Any] = json.loads(record.read_text())
        return made
    tell(f"starting Synapse and uploading {IMAGES} images and {FILES} files (about 1 min) ...")
    server.fresh(seeded=False, kind=kind)
    shutil.rmtree(kind.seed, ignore_errors=True)
    kind.seed.mkdir(parents=True)
    server.up()
    token = register("admin")
    rng = random.Random(7)
    media: list[Media] = []
    with ThreadPoolExecutor(4) as pool:
        media += pool.map(lambda n: upload(token, _image(n), "image/jpeg"), range(IMAGES))
        bodies = [b"x", *(rng.randbytes(int(rng.lognormvariate(10, 1.5))) for _ in range(FILES - 1))]
        media += pool.map(lambda body: upload(token, body), bodies)
    media.append(upload(token, rng.randbytes(LARGE_BYTES)))
    server.down()
    plant_odd_names(SERVER / STORE)
    run("cp", "--archive", SERVER / "matrix", kind.seed / "matrix")
    document = {"token": token, "media": [asdict(item) for item in media]}
    record.write_text(json.dumps(document))
    return document


def plant_odd_names(store: Path) -> None:
    """Remote media as other servers' names make them; Synapse's tables do not know these."""
    for number, name in enumerate(ODD_NAMES):
        path = store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name.endswith("empty") and "thumbnail" not in name else f"odd {number}".encode() * 50)
    # A folder may be a file's name elsewhere: remote_thumbnail/…/empty/ holds a file.
    server.own(store)


def seeded_media() -> tuple[str, list[Media]]:
    """An administrator's access token and what was uploaded."""
    document = seed(kinds.current())
    return document["token"], [Media(**item) for item in document["media"]]


def as_it_ends(command: str) -> None:
    """Have systemd run this whenever the homeserver has ended, before it tells that it stopped."""
    drop_in = server.on_disk(Path("/etc/systemd/system/matrix-synapse.service.d/late.conf"))
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(f"[Service]\nExecStopPost={command}\n")
    server.ssh("systemctl daemon-reload")


def tree(store: Path | None = None) -> dict[str, str]:
    """Every file of a server's store with the SHA-256 of its content, read from outside the server."""
    root = store or SERVER / STORE
    found = {}
    for folder, _, files in os.walk(root):
        for name in files:
            path = Path(folder) / name
            relative = str(path.relative_to(root))
            if not relative.startswith(("url_cache", ".matrix-media-store/")):  # rebuilt, and the agent's token
                found[relative] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
