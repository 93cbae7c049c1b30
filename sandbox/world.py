"""Names, folders and addresses of the sandbox. Each checkout has its own.

Several worlds of one checkout may run side by side: what is built is shared, each has a folder for what runs, and the
same addresses in a network namespace of its own. `MATRIX_MEDIA_STORE_WORLD` names one; see `enter`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".sandbox"
#: The world of this process; the one that people start has no name.
WORLD = os.environ.get("MATRIX_MEDIA_STORE_WORLD", "")
#: What of it runs lies here, and what is built in HOME.
PLACE = HOME / WORLD if WORLD else HOME

_HASH = hashlib.sha256(str(ROOT).encode()).digest()
#: Machine name of the server, and name of the bridge it hangs on (15 characters are the kernel's limit).
NAME = f"mms-{_HASH.hex()[:6]}{WORLD}"
SUBNET = f"10.213.{_HASH[0] % 250 + 1}"
HOST_ADDRESS = f"{SUBNET}.1"
SERVER_ADDRESS = f"{SUBNET}.2"

#: The S3 side of the sandbox's B2, by a name as B2 gives them: the region is its second part.
B2_REGION = "sandbox-000"
B2_S3_HOST = f"s3.{B2_REGION}.b2.test"
#: By which programs know Google's store, and its ways; in the sandbox it is the sandbox's own.
GOOGLES_HOST = "storage.googleapis.com"

BIN = HOME / "bin"
LOGS = PLACE / "logs"
RUN = PLACE / "run"
CERTIFICATES = HOME / "certificates"
#: The server that runs; its image with all that was done to it, and Synapse's data.
SERVER = PLACE / "server"
SSH_KEY = HOME / "ssh" / "id_ed25519"
HOST_KEY = HOME / "ssh" / "host_ed25519"


def enter() -> None:
    """Have this process, and all that it starts from now on, in a network of its own. Raises OSError."""
    new_network = 0x4000_0000
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(new_network):
        raise OSError(ctypes.get_errno(), "a network namespace of its own")
    run("ip", "link", "set", "lo", "up")


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
