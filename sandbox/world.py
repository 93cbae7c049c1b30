"""Names, folders and addresses of the sandbox. Each checkout has its own.

Only one world may run at a time all the same where the machine has version 1 of control groups: the servers'
systemds would share theirs, and stumble over each other's processes.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".sandbox"

_HASH = hashlib.sha256(str(ROOT).encode()).digest()
#: Machine name of the server, and name of the bridge it hangs on (15 characters are the kernel's limit).
NAME = f"mms-{_HASH.hex()[:6]}"
SUBNET = f"10.213.{_HASH[0] % 250 + 1}"
HOST_ADDRESS = f"{SUBNET}.1"
SERVER_ADDRESS = f"{SUBNET}.2"

#: The S3 side of the sandbox's B2, by a name as B2 gives them: the region is its second part.
B2_REGION = "sandbox-000"
B2_S3_HOST = f"s3.{B2_REGION}.b2.test"
#: By which programs know Google's store, and its ways; in the sandbox it is the sandbox's own.
GOOGLES_HOST = "storage.googleapis.com"

BIN = HOME / "bin"
LOGS = HOME / "logs"
RUN = HOME / "run"
CERTIFICATES = HOME / "certificates"
#: Debian with systemd, and Synapse's libraries: built once.
IMAGE = HOME / "image"
#: The server that runs; a copy of the image, with Synapse's data.
SERVER = HOME / "server"
#: Data of a Synapse into which media were uploaded once; each fresh server starts with it.
SEED = HOME / "seed"
SSH_KEY = HOME / "ssh" / "id_ed25519"
HOST_KEY = HOME / "ssh" / "host_ed25519"


def tell(text: str) -> None:
    print(f"sandbox: {text}", flush=True)


def run(*argv: str | Path, quiet: bool = False, **options: Any) -> str:
    """A program's output; its standard error is shown where it fails."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, **options
    )
    if done.returncode and not quiet:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise SystemExit(f"sandbox: {' '.join(map(str, argv))} ended with status {done.returncode}:\n{tail}")
    return done.stdout
