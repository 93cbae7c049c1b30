"""Stands in for writers that are held exactly where it hurts; runs on the server as the homeserver's user.

Arguments: the media store, a word for the names, how many of each kind, and a file that comes once services are about
to be held. Prints `ready` once it waits for that, and in the end a JSON object of what a database would know: names
with the SHA-256 of their content.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time

#: Seconds between two looks.
LOOK = 0.005
CONTENT = 5_000


def main() -> None:
    root, word, count, signal = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    here = os.stat(root).st_dev
    known: dict[str, str] = {}
    errors: list[str] = []
    opened, parked = threading.Barrier(count + 1), threading.Barrier(3 * count)
    about = threading.Event()

    def moved() -> None:
        while os.stat(root).st_dev == here:
            time.sleep(LOOK)

    def write(kind: str, number: int) -> None:
        name = f"local_content/{word}/{kind}{number:02}/file"
        path, content = f"{root}/{name}", os.urandom(CONTENT)
        if kind != "b":
            about.wait()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if kind == "a":  # between makedirs and open
            parked.wait()
            moved()
        with open(path, "wb") as file:
            file.write(content[: CONTENT // 2])
            file.flush()
            if kind == "b":  # between open and the last write: nothing is moved before these are closed
                opened.wait()
                about.wait()
                parked.wait()
            file.write(content[CONTENT // 2 :])
        if kind == "c":  # between the last write and the database
            parked.wait()
            moved()
        known[name] = hashlib.sha256(content).hexdigest()

    def work(kind: str, number: int) -> None:
        try:
            write(kind, number)
        except OSError as error:
            errors.append(f"{kind}{number}: {error}")

    threads = [threading.Thread(target=work, args=(kind, number)) for kind in "abc" for number in range(count)]
    for thread in threads:
        thread.start()
    opened.wait()
    print("ready", flush=True)
    while not os.path.exists(signal):
        time.sleep(LOOK)
    about.set()
    for thread in threads:
        thread.join()
    print(json.dumps(known) if not errors else f"failed: {errors}", flush=True)


if __name__ == "__main__":
    main()
