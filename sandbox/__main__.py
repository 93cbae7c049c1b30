"""`python -m sandbox up|down|reset|ssh …`."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from . import aws, b2, browser, engine, network, parts, promtool, python39, server, store, synapse
from .server import containers, kinds, wheels
from .world import HOME, SERVER_ADDRESS, WORLD, tell

#: What only tests need; each is made beforehand, since a world of theirs reaches no network.
FOR_TESTS: tuple[Callable[[], object], ...] = (
    browser.build, python39.build, promtool.build, partial(parts.build, "actionlint"),
)  # fmt: skip

#: Kinds of servers that some tests ask for, whatever the others run on.
OF_TESTS = (kinds.KINDS["docker"], kinds.KINDS["plain"])


def build(also: Sequence[kinds.Kind] = (), for_tests: bool = False) -> None:
    """Everything that is made once and kept; `also`, for further servers; `for_tests`, also what only these need."""
    store.make_certificates()
    server.make_ssh_keys()
    servers = [kinds.wanted(), *also]
    jobs: list[Callable[[], object]] = [
        partial(parts.build_all, engine.installed() is None),
        partial(server.build, *dict.fromkeys(servers)),
        partial(wheels.fetch, *servers),
        *(FOR_TESTS if for_tests else ()),
    ]
    with ThreadPoolExecutor(3) as pool:
        for job in [pool.submit(job) for job in jobs]:
            job.result()
    if any(kind.in_containers for kind in servers):
        containers.build_rootfs()  # of the parts, and Synapse's libraries
    engine.up()


def up(fresh: bool = False) -> None:
    """The whole world, running; starting it twice is fine. `fresh` forgets what was done to the server."""
    with _one_at_a_time():
        build()
        network.up()
        store.up()
    prepare(kinds.wanted())
    if fresh or not server.MATRIX.exists():
        tell("making a fresh server")
        server.fresh()
    tell("starting the server")
    server.up()
    tell(f"the server runs at {SERVER_ADDRESS}, Synapse at {synapse.URL}, the S3 store at {store.ENDPOINT}")


def prepare(kind: kinds.Kind) -> None:
    """What fresh servers of a kind start with, made once: it takes a server, and the world's own is forgotten."""
    with _one_at_a_time():
        server.load_containers(kind)
        synapse.seed(kind)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Have other worlds of this checkout wait, which share what is built."""
    HOME.mkdir(exist_ok=True)
    with open(HOME / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def down(everything: bool = False) -> None:
    """End all that runs, in other worlds too. With `everything`, remove what was built too."""
    for other in [] if WORLD else HOME.glob("*/run"):
        command = [sys.executable, "-m", "sandbox", "down"]
        subprocess.run(command, env={**os.environ, "MATRIX_MEDIA_STORE_WORLD": other.parent.name}, check=False)
    server.down()
    b2.down()
    aws.down()
    store.down()
    network.down()
    if everything or WORLD:
        server.discard()
    if everything:
        shutil.rmtree(HOME, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="sandbox", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    building = verbs.add_parser("build", help="build all parts")
    building.add_argument("--for-tests", action="store_true", help="also what only tests need")
    building.add_argument("--every-server", action="store_true", help="for each kind of server")
    verbs.add_parser("up", help="start everything").add_argument("--fresh", action="store_true")
    verbs.add_parser("down", help="end everything").add_argument(
        "--everything", action="store_true", help="remove what was built"
    )
    verbs.add_parser("ssh", help="run a command on the server").add_argument("command", nargs="+")
    arguments = parser.parse_args()
    if arguments.verb == "build":
        of_tests = OF_TESTS if arguments.for_tests else ()
        build(tuple(kinds.KINDS.values()) if arguments.every_server else of_tests, arguments.for_tests)
    elif arguments.verb == "up":
        up(arguments.fresh)
    elif arguments.verb == "down":
        down(arguments.everything)
    else:
        sys.stdout.write(server.ssh(*arguments.command))
    return 0


if __name__ == "__main__":
    sys.exit(main())
