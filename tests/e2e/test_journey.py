"""The main job from end to end, and back."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

from sandbox import server, store, synapse
from sandbox.engine import PASSPHRASE, Stack
from sandbox.world import LOGS, ROOT, SERVER, SSH_KEY

from .watch import CommandLines
from .world import (
    BACKUP,
    STORE,
    VAR,
    Begin,
    Migration,
    flip_byte,
    hash_on_server,
    mounted,
    on_disk,
    stopped,
    subset,
    synapse_runs,
)

#: Lines from the middle of the SSH key: the marks at its ends are in every key.
SECRETS = [
    store.SECRET_ACCESS_KEY,
    store.ACCESS_KEY_ID,
    SSH_KEY.read_text().splitlines()[2] if SSH_KEY.exists() else "",
]


def leaks(text: str, token: str) -> list[str]:
    return [secret for secret in [*SECRETS, token] if secret and secret in text]


def readable_by_others(root: Path) -> list[Path]:
    """Regular files, reachable through folders that others may enter, that others may read."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if os.lstat(Path(folder, name)).st_mode & 0o001]
        for name in files:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if mode & 0o170000 == 0o100000 and mode & 0o004:
                found.append(path)
    return found


def test_forward_to_clean_and_back_nothing_is_lost_and_no_secret_shows(begin: Begin) -> None:
    migration = begin("journey", kind="plain", thin=0)
    stack, token = migration.stack, migration.token
    with CommandLines() as lines:
        said = []
        for phase, step in (
            ("prepare", "local -> prepare: mount the bucket"),
            ("mirror", "prepare -> mirror: copy the local store"),
            ("live", f"hold {stopped()} for less than a second, none is stopped; copy the last files"),
            ("clean", "live -> clean: compare every file"),
        ):
            stack.set("phase", phase)
            preview = stack.must("preview", "--diff")
            assert step in preview
            assert f"converge --phase {phase} --after" in preview
            said += [preview, stack.must("up", "--yes", "--skip-preview", "--logtostderr", "-v=3")]
            if phase == "mirror":
                assert subset(migration.before, migration.objects()) == []
                assert not mounted(STORE), "services use the local store while mirroring"
            if phase == "live":
                migration.assert_serves_from_bucket()
                assert subset(migration.before, hash_on_server(STORE)) == []
                new = migration.upload()
                assert migration.objects()[new.key] == new.sha256
                assert on_disk(BACKUP).exists()
        assert not on_disk(BACKUP).exists()
        migration.assert_serves_from_bucket()
        assert migration.verdict()["compared"] == len(migration.before)

        assert reported(stack, len(migration.before)) == ["prepare", "mirror", "live", "clean"]

        said.append(migration.up("prepare"))
        migration.assert_serves_locally()
        assert new.key in synapse.tree()
        said.append(stack.must("destroy", "--yes", "--skip-preview"))
    migration.assert_serves_locally()
    for left in ("/etc/matrix-media-store", "/usr/local/lib/matrix-media-store", VAR):
        assert not on_disk(Path(left)).exists()

    assert "matrix-media-store/goofys" in lines.text and re.search(r"rclone-\w+ copy", lines.text), (
        "the watch saw the work"
    )
    assert leaks(lines.text, token) == []
    assert leaks("".join(said), token) == []
    assert leaks(server.ssh("journalctl --no-pager --output=export --all"), token) == []
    assert leaks((LOGS / "server.log").read_text(errors="replace"), token) == []


def reported(stack: Stack, files: int) -> list[str]:
    """Phases of which there is a report, in order; the last one says how many files there are."""
    pages = sorted((ROOT / "reports" / stack.name).iterdir())
    text = pages[-1].read_text()
    assert f"<strong>{files:,}</strong>" in text and "all equal" in text
    return [page.stem.rpartition("-")[2] for page in pages]


def test_every_host_command_depends_on_all_of_the_stores_resources_and_the_anchor_comes_first(live: Migration) -> None:
    state = json.loads(live.stack.must("stack", "export"))
    resources = {item["urn"]: item for item in state["deployment"]["resources"]}
    # Components are no dependencies of their own; what can be deleted are the resources in them.
    stores = {urn for urn, item in resources.items() if "matrix-media-store:store:" in urn and item["custom"]}
    commands = {
        urn.rpartition("::")[2]: urn for urn in resources if "::matrix-media-store:host:MediaServer$command" in urn
    }
    assert set(commands) == {"matrix-agent", "matrix-mount", "matrix-media-store"}
    for urn in commands.values():
        assert stores <= set(resources[urn].get("dependencies", []))
    assert commands["matrix-agent"] in resources[commands["matrix-mount"]]["dependencies"]
    assert commands["matrix-mount"] in resources[commands["matrix-media-store"]]["dependencies"]


def test_the_state_holds_no_secret_in_plain_text(live: Migration) -> None:
    files = [path for path in live.stack.backend.rglob("*") if path.is_file()]
    assert any("checkpoint" in path.read_text() for path in files if path.suffix == ".json")
    for path in [*files, live.stack.config_file]:
        assert leaks(path.read_text(), live.token) == [], path
        assert PASSPHRASE not in path.read_text()


def test_no_file_that_others_may_read_on_the_server_holds_a_secret(live: Migration) -> None:
    for path in readable_by_others(SERVER):
        if path.stat().st_size < 50_000_000:
            content = path.read_bytes().decode(errors="replace")
            assert leaks(content, live.token) == [], path


def test_the_engines_log_holds_no_secret(live: Migration) -> None:
    # At -v=9 the engine dumps every property it sends or receives, decrypted: nothing a program can mask.
    output = live.stack.must("preview", "--logtostderr", "--logflow", "-v=8")
    assert len(output) > 50_000
    assert leaks(output, live.token) == []


def test_a_flipped_byte_in_the_bucket_is_found_before_clean_and_nothing_is_removed(begin: Begin) -> None:
    migration = begin("flip")
    migration.up("live")
    victim = next(item for item in migration.media if item.size > 1000)
    good = flip_byte(migration.bucket, victim.key)
    copy = synapse.tree(on_disk(BACKUP))
    result = migration.try_up("clean")
    assert result.status != 0
    assert victim.key in result.output and "nothing was removed" in result.output
    assert synapse.tree(on_disk(BACKUP)) == copy
    assert synapse_runs()

    store.client().put_object(Bucket=migration.bucket, Key=victim.key, Body=good)
    purged = migration.media[3]
    migration.purge(purged)
    migration.up("clean")
    assert not on_disk(BACKUP).exists()
    migration.up("prepare")
    migration.assert_serves_locally()
    assert not any(purged.id in path.replace("/", "") for path in synapse.tree()), "what was purged came back"
    assert synapse.download(migration.token, purged) is None


def test_what_changed_while_live_comes_home_and_what_was_purged_does_not(begin: Begin) -> None:
    migration = begin("changes")
    migration.up("live")
    thumbnail = next(path for path in migration.before if re.match(r"local_thumbnails/.*/320-", path))
    server.ssh(f"cd /; runuser -u matrix -- tee '{STORE}/{thumbnail}' >/dev/null", stdin="a new thumbnail")
    rewritten = hashlib.sha256(b"a new thumbnail").hexdigest()
    old = migration.before[thumbnail]
    migration.before[thumbnail] = rewritten
    purged = migration.media[5]
    migration.purge(purged)
    new = migration.upload(6_000_000)  # goofys uploads this in parts
    migration.stack.must("destroy", "--yes", "--skip-preview")
    migration.assert_serves_locally()
    tree = synapse.tree()
    assert tree[thumbnail] == rewritten
    assert tree[new.key] == new.sha256
    assert not any(purged.id in path.replace("/", "") for path in tree)
    beside = on_disk(STORE).parent
    kept = {path.name.partition("-20")[0]: synapse.tree(path) for path in beside.glob("media-store-re*-2*")}
    assert kept["media-store-replaced"][thumbnail] == old
    assert purged.key in kept["media-store-removed"]


def test_rsync_through_the_mount_moves_the_store_as_well(begin: Begin) -> None:
    migration = begin("rsync")
    migration.stack.set("copy.method", "rsync")
    output = migration.up("live")
    assert "proof" in output
    migration.assert_serves_from_bucket()
