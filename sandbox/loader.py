"""Runs on the server: puts every file of a tree into the bucket as fast as the store takes it.

No listing, no comparison, no progress: what is left is the store's own limit.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from agent.model.settings import StoreSettings
from agent.store.bucket import Bucket

PROCESSES, THREADS = 4, 8


def put(share: list[Path]) -> None:
    root, endpoint, region, bucket = sys.argv[1:]
    settings = StoreSettings(
        endpoint=endpoint, region=region, bucket=bucket,
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"], secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    store = Bucket(settings)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda file: store.put(str(file.relative_to(root)), file.read_bytes()), share))


if __name__ == "__main__":
    files = [file for file in Path(sys.argv[1]).rglob("*") if file.is_file()]
    with get_context("fork").Pool(PROCESSES) as workers:
        workers.map(put, [files[start::PROCESSES] for start in range(PROCESSES)], chunksize=1)
