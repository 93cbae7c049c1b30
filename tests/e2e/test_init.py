"""From a playbook's vars.yml to a preview, without editing a file by hand."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from sandbox import store
from sandbox.engine import Stack
from sandbox.world import HOST_KEY, ROOT, SERVER_ADDRESS, SSH_KEY

from .world import fresh_server

SECRET = "typed-by-hand-Wq7Zr3mNp5tKw2"
VARS = f"""\
matrix_domain: sandbox.test
matrix_homeserver_implementation: synapse
matrix_s3_media_store_bucket_name: from-vars
matrix_s3_media_store_aws_access_key: "FROMVARS7Q2XW"
matrix_s3_media_store_aws_secret_key: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  3132333435
matrix_s3_media_store_region: us-east-1
matrix_s3_media_store_custom_endpoint_enabled: true
matrix_s3_media_store_custom_endpoint: "{store.ENDPOINT}"
"""


@pytest.mark.alone
def test_a_vars_yml_leads_to_a_preview_in_less_than_a_minute(sandbox: None, tmp_path: Path) -> None:
    fresh_server(thin=5)
    stack = Stack("sandbox-init")
    stack.remove()
    stack.backend.mkdir(parents=True)
    (tmp_path / "vars.yml").write_text(VARS)
    host_key = " ".join(HOST_KEY.with_suffix(".pub").read_text().split()[:2])
    command: list[str | Path] = [
        ROOT / ".venv/bin/media-store", "init", "--stack", stack.name, "--vars", tmp_path / "vars.yml",
        "--host", SERVER_ADDRESS, "--private-key", SSH_KEY,
    ]  # fmt: skip
    try:
        started = time.monotonic()
        refused = subprocess.run(command, cwd=ROOT, env=stack.env, text=True, capture_output=True, input="no\n")
        assert refused.returncode == 2 and "the host key was not confirmed; nothing was written" in refused.stderr
        assert not stack.config_file.exists()
        done = subprocess.run(
            command, cwd=ROOT, env=stack.env, text=True, capture_output=True, input=f"yes\n{SECRET}\n"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "store.secretAccessKey is asked for" in done.stdout and "SHA256:" in done.stdout
        preview = stack.must("preview")
        assert time.monotonic() - started < 60
        assert "local -> prepare" in preview and SERVER_ADDRESS in stack.must("config", "get", "--path", "server.host")
        assert stack.must("config", "get", "--path", "server.hostKey").strip() == host_key
        assert stack.must("config", "get", "--path", "store.secretAccessKey").strip() == SECRET
        kept = stack.config_file.read_text()
        assert SECRET not in kept + done.stdout + done.stderr and "FROMVARS7Q2XW" not in kept + done.stdout
    finally:
        stack.remove()
