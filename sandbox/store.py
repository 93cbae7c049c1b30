"""The S3 store: MinIO over TLS, with a certificate of the sandbox's own authority."""

from __future__ import annotations

import http.client
import re
import ssl
import time
import urllib.request
from functools import cache
from typing import Any

import boto3
import urllib3
from botocore.config import Config
from minio.credentials.providers import StaticProvider
from minio.minioadmin import MinioAdmin

from . import process
from .world import B2_S3_HOST, BIN, CERTIFICATES, GOOGLES_HOST, HOST_ADDRESS, PLACE, run, tell

PORT = 9000
ENDPOINT = f"https://{HOST_ADDRESS}:{PORT}"
REGION = "us-east-1"
DATA = PLACE / "store"
PROCESS = "minio"
#: Known only inside the sandbox; long and odd enough to be looked for in logs and state.
ACCESS_KEY_ID = "SANDBOXKEYID7Q2XW"
SECRET_ACCESS_KEY = "sandbox-secret-Vq8/Zr+3mNp5tKw2"


#: What the certificate is for, and what Python asks of one since 3.13, as RFC 5280 does.
EXTENSIONS = (
    f"subjectAltName=IP:{HOST_ADDRESS},DNS:{B2_S3_HOST},DNS:{GOOGLES_HOST},DNS:*.{GOOGLES_HOST}\n"
    "basicConstraints=critical,CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
)


def make_certificates() -> None:
    """A certificate authority and the store's certificate; once for each checkout."""
    request, extensions = CERTIFICATES / "request.csr", CERTIFICATES / "extensions"
    if (CERTIFICATES / "public.crt").exists() and extensions.read_text() == EXTENSIONS:
        return
    CERTIFICATES.mkdir(parents=True, exist_ok=True)
    ca, key = CERTIFICATES / "ca.crt", CERTIFICATES / "ca.key"
    run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
        "-subj", "/CN=sandbox authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        "-keyout", key, "-out", ca,
    )  # fmt: skip
    extensions.write_text(EXTENSIONS)
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
                # Whoever is here may count requests.
                "MINIO_PROMETHEUS_AUTH_TYPE": "public",
                # Google's address may have the bucket in its name.
                "MINIO_DOMAIN": GOOGLES_HOST,
            },
        )
    deadline = time.monotonic() + 60
    while not _answers():
        if time.monotonic() > deadline:
            raise SystemExit("sandbox: the S3 store does not answer; see .sandbox/logs/minio.log")
        time.sleep(0.1)


def _context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATES / "ca.crt"))


def _answers() -> bool:
    connection = http.client.HTTPSConnection(HOST_ADDRESS, PORT, timeout=5, context=_context())
    try:
        connection.request("GET", "/minio/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def down() -> None:
    process.stop(PROCESS)


def requests() -> dict[str, int]:
    """How many requests the store has had since it started, by kind."""
    with urllib.request.urlopen(f"{ENDPOINT}/minio/v2/metrics/cluster", context=_context()) as answer:
        lines = answer.read().decode().splitlines()
    found = (re.fullmatch(r'minio_s3_requests_total\{.*\bapi="(\w+)".*\} (\S+)', line) for line in lines)
    return {match[1]: int(float(match[2])) for match in found if match}


@cache
def client() -> Any:
    """The boto3 client with the store's root key; threads may share it."""
    return client_of(ACCESS_KEY_ID, SECRET_ACCESS_KEY)


def client_of(key_id: str, secret: str) -> Any:
    """A boto3 client with another key."""
    return boto3.client(
        "s3", endpoint_url=ENDPOINT, region_name=REGION, verify=str(CERTIFICATES / "ca.crt"),
        aws_access_key_id=key_id, aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=40),
    )  # fmt: skip


def exists(name: str) -> bool:
    return name in [bucket["Name"] for bucket in client().list_buckets()["Buckets"]]


def remove_bucket(name: str) -> None:
    """The bucket is gone, with all in it, old versions too."""
    if not exists(name):
        return
    s3 = client()
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        items = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if items:
            names = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in items]
            s3.delete_objects(Bucket=name, Delete={"Objects": names})
    s3.delete_bucket(Bucket=name)


def empty_bucket(name: str) -> None:
    """A bucket of that name with nothing in it."""
    remove_bucket(name)
    client().create_bucket(Bucket=name)


def admin() -> MinioAdmin:
    """MinIO's own administration: its users and their policies."""
    http = urllib3.PoolManager(ca_certs=str(CERTIFICATES / "ca.crt"))
    return MinioAdmin(
        endpoint=f"{HOST_ADDRESS}:{PORT}", credentials=StaticProvider(ACCESS_KEY_ID, SECRET_ACCESS_KEY),
        region=REGION, http_client=http,
    )  # fmt: skip


def set_user(key_id: str, secret: str, statements: list[Any]) -> None:
    """A user of the store with exactly these rights, as statements of an AWS policy; with none, no rights."""
    minio = admin()
    minio.user_add(key_id, secret)
    allowed = statements or [{"Effect": "Deny", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}]
    minio.policy_add(f"of-{key_id}", policy={"Version": "2012-10-17", "Statement": allowed})
    minio.policy_set(f"of-{key_id}", user=key_id)


def remove_user(key_id: str) -> None:
    minio = admin()
    minio.user_remove(key_id)
    minio.policy_remove(f"of-{key_id}")
