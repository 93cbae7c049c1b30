"""The S3 store: MinIO over TLS, with a certificate of the sandbox's own authority."""

from __future__ import annotations

import http.client
import ssl
import time
from typing import Any

import boto3
from botocore.config import Config

from . import process
from .world import BIN, CERTIFICATES, HOME, HOST_ADDRESS, run, tell

PORT = 9000
ENDPOINT = f"https://{HOST_ADDRESS}:{PORT}"
REGION = "us-east-1"
DATA = HOME / "store"
PROCESS = "minio"
#: Known only inside the sandbox; long and odd enough to be looked for in logs and state.
ACCESS_KEY_ID = "SANDBOXKEYID7Q2XW"
SECRET_ACCESS_KEY = "sandbox-secret-Vq8/Zr+3mNp5tKw2"


def make_certificates() -> None:
    """A certificate authority and the store's certificate; once for each checkout."""
    if (CERTIFICATES / "public.crt").exists():
        return
    CERTIFICATES.mkdir(parents=True, exist_ok=True)
    ca, key = CERTIFICATES / "ca.crt", CERTIFICATES / "ca.key"
    run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
        "-subj", "/CN=sandbox authority", "-keyout", key, "-out", ca,
    )  # fmt: skip
    request, extensions = CERTIFICATES / "request.csr", CERTIFICATES / "extensions"
    extensions.write_text(f"subjectAltName=IP:{HOST_ADDRESS}\n")
    run(
        "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-subj", f"/CN={HOST_ADDRESS}", "-keyout", CERTIFICATES / "private.key", "-out", request,
    )  # fmt: skip
    run(
        "openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", key, "-CAcreateserial", "-days", "3650",
        "-extfile", extensions, "-out", CERTIFICATES / "public.crt",
    )  # fmt: skip


def up() -> None:
    """Start the store and wait until it answers."""
    if process.pid(PROCESS) is None:
        DATA.mkdir(parents=True, exist_ok=True)
        tell("starting the S3 store")
        process.start(
            PROCESS,
            [
                BIN / "minio",
                "server",
                "--quiet",
                "--address",
                f"{HOST_ADDRESS}:{PORT}",
                "--certs-dir",
                CERTIFICATES,
                DATA,
            ],
            env={
                "MINIO_ROOT_USER": ACCESS_KEY_ID,
                "MINIO_ROOT_PASSWORD": SECRET_ACCESS_KEY,
                "MINIO_BROWSER": "off",
            },
        )
    deadline = time.monotonic() + 60
    while not _answers():
        if time.monotonic() > deadline:
            raise SystemExit("sandbox: the S3 store does not answer; see .sandbox/logs/minio.log")
        time.sleep(0.1)


def _answers() -> bool:
    context = ssl.create_default_context(cafile=str(CERTIFICATES / "ca.crt"))
    connection = http.client.HTTPSConnection(HOST_ADDRESS, PORT, timeout=5, context=context)
    try:
        connection.request("GET", "/minio/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def down() -> None:
    process.stop(PROCESS)


def client() -> Any:
    """A boto3 client with the store's root key."""
    return boto3.client(
        "s3", endpoint_url=ENDPOINT, region_name=REGION, verify=str(CERTIFICATES / "ca.crt"),
        aws_access_key_id=ACCESS_KEY_ID, aws_secret_access_key=SECRET_ACCESS_KEY,
        config=Config(s3={"addressing_style": "path"}),
    )  # fmt: skip


def empty_bucket(name: str) -> None:
    """A bucket of that name with nothing in it."""
    s3 = client()
    if name in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
            keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
            if keys:
                s3.delete_objects(Bucket=name, Delete={"Objects": keys})
        s3.delete_bucket(Bucket=name)
    s3.create_bucket(Bucket=name)
