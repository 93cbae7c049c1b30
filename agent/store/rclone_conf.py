"""This module makes rclone's configuration for the bucket. It is pure. https://rclone.org/s3/"""

from __future__ import annotations

import configparser
import io

from ..model.settings import StoreSettings

#: What rclone's configuration calls the bucket's store.
REMOTE = "store"
#: What it calls the one that a move leaves.
EARLIER = "earlier"
#: rclone uploads files above this many bytes in parts; below, the ETag is the MD5 of the content.
PART_CUTOFF = 64 << 20
#: Bytes of one part; the ETag of an object in parts is the MD5 of its parts' MD5s.
PART_SIZE = 16 << 20
#: Parts of one file that are uploaded at once: rclone holds them in memory.
PARTS_AT_ONCE = 2


def _options(store: StoreSettings) -> dict[str, str]:
    options = {
        "type": "s3",
        "provider": store.rclone_provider,
        "access_key_id": store.access_key_id,
        "secret_access_key": store.secret_access_key,
        "endpoint": store.endpoint,
        "region": store.region,
        "force_path_style": "true",
        "no_check_bucket": "true",
        "upload_cutoff": f"{PART_CUTOFF >> 20}M",
        "chunk_size": f"{PART_SIZE >> 20}M",
        "upload_concurrency": str(PARTS_AT_ONCE),
    }
    if store.storage_class:
        options["storage_class"] = store.storage_class
    if store.sse_customer_key:
        options.update(sse_customer_algorithm="AES256", sse_customer_key_base64=store.sse_customer_key)
    return options


def rclone_conf(store: StoreSettings) -> str:
    """Return the text of rclone's configuration; it has the bucket's keys, so it goes to a file of mode 0600."""
    conf = configparser.ConfigParser(interpolation=None)
    conf[REMOTE] = _options(store)
    text = io.StringIO()
    conf.write(text)
    return text.getvalue()


def rclone_environment(store: StoreSettings, remote: str = REMOTE) -> dict[str, str]:
    """Return the variables that tell rclone the same as `rclone_conf` does, of a store by that name, keys among them.

    https://rclone.org/docs/#config-file
    """
    names = {f"RCLONE_CONFIG_{remote}_{name}".upper(): value for name, value in _options(store).items()}
    return {**names, "RCLONE_CONFIG": "/dev/null"}
