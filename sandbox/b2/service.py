"""The service's HTTP side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from flask import Flask, Response, jsonify, request
from werkzeug.serving import run_simple

from ..world import HOST_ADDRESS
from . import PORT
from .account import Account, Document, Key, Refused
from .files import Files

ACCOUNT = Account()
FILES = Files(ACCOUNT)
CALLS: dict[str, Callable[[Key, Document], Document]] = {
    "b2_create_key": ACCOUNT.create_key,
    "b2_delete_key": ACCOUNT.delete_key,
    "b2_list_keys": ACCOUNT.list_keys,
    "b2_create_bucket": ACCOUNT.create_bucket,
    "b2_update_bucket": ACCOUNT.update_bucket,
    "b2_delete_bucket": ACCOUNT.delete_bucket,
    "b2_list_buckets": ACCOUNT.list_buckets,
    "b2_list_file_versions": FILES.list_versions,
    "b2_list_file_names": FILES.list_names,
    "b2_get_upload_url": FILES.upload_url,
    "b2_get_file_info": FILES.info,
    "b2_hide_file": FILES.hide,
    "b2_delete_file_version": FILES.delete_version,
    "b2_start_large_file": FILES.start_large,
    "b2_get_upload_part_url": FILES.part_url,
    "b2_list_parts": FILES.list_parts,
    "b2_list_unfinished_large_files": FILES.list_unfinished,
    "b2_finish_large_file": FILES.finish_large,
    "b2_cancel_large_file": FILES.cancel_large,
}
app = Flask("b2")


@app.errorhandler(Refused)
def refused(error: Refused) -> tuple[Response, int]:
    return jsonify(error.document), error.document["status"]


def _key() -> Key:
    return ACCOUNT.key_of(request.headers.get("Authorization", ""))


@app.route("/b2api/<version>/b2_authorize_account", methods=["GET", "POST"])
def authorize(version: str) -> Any:
    return jsonify(ACCOUNT.authorize(request.headers.get("Authorization", ""), version))


@app.post("/b2api/<version>/<call>")
def act(version: str, call: str) -> Any:
    if call not in CALLS:
        raise Refused(400, "bad_request", f"the sandbox's B2 has no {call}")
    return jsonify(CALLS[call](_key(), request.get_json(force=True)))


@app.post("/upload/<bucket_id>")
def upload(bucket_id: str) -> Any:
    prefix = "x-bz-info-"
    info = {
        name.lower().removeprefix(prefix): unquote(value)
        for name, value in request.headers.items()
        if name.lower().startswith(prefix)
    }
    headers = request.headers
    return jsonify(
        FILES.upload(
            _key(),
            bucket_id,
            unquote(headers["X-Bz-File-Name"]),
            headers["Content-Type"],
            info,
            headers["X-Bz-Content-Sha1"],
            request.get_data(),
        )  # fmt: skip
    )


@app.post("/part/<file_id>")
def upload_part(file_id: str) -> Any:
    headers = request.headers
    number, sha1 = int(headers["X-Bz-Part-Number"]), headers["X-Bz-Content-Sha1"]
    return jsonify(FILES.upload_part(_key(), file_id, number, sha1, request.get_data()))


@app.get("/file/<bucket>/<path:name>")
def download(bucket: str, name: str) -> Response:
    body, described = FILES.download(_key(), bucket, name)
    headers = {
        "X-Bz-File-Id": described["fileId"], "X-Bz-File-Name": described["fileName"],
        "X-Bz-Content-Sha1": described["contentSha1"], "X-Bz-Upload-Timestamp": str(described["uploadTimestamp"]),
    }  # fmt: skip
    return Response(body, headers=headers, content_type="application/octet-stream")


if __name__ == "__main__":
    run_simple(HOST_ADDRESS, PORT, app, threaded=True)
