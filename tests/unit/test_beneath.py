"""Nothing of the agent touches the media store, or what is beside it, by a path: `agent/host/beneath.py` alone does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

AGENT = Path(__file__).parents[2] / "agent"
#: Functions of `os` that take a path, and follow what is on it.
OF_OS = {"open", "mkdir", "makedirs", "rename", "replace", "unlink", "remove", "rmdir", "link", "symlink", "chown",
         "chmod", "lchown", "utime", "truncate", "walk", "listdir", "scandir", "stat", "lstat"}  # fmt: skip
OF_SHUTIL = {"rmtree", "move", "copy", "copy2", "copyfile", "copytree", "chown"}
OF_PATH = {"mkdir", "rmdir", "rename", "unlink", "touch", "chmod", "write_text", "write_bytes", "read_text",
           "read_bytes", "iterdir", "glob", "rglob", "exists", "is_dir", "is_file", "is_symlink", "stat", "lstat",
           "symlink_to", "hardlink_to", "resolve"}  # fmt: skip
#: Where a path may be used, and of what it is. A function stands after its module.
ALLOWED = {
    "host": "the one module, and files of the agent's own",
    "state": "files of the agent's own",
    "setup": "files of the agent's own, units, authorized_keys",
    "commands/home.py": "the agent itself",
    "commands/answers.py": "the process of the mount",
    "commands/arguments.py:_own_version": "the agent itself",
    "commands/status.py": "the manifest",
    "media/catalog.py": "the manifest",
    "serving/earlier_checks.py:_has": "done as the store's owner",
    "serving/earlier_mount.py": "units, a file of the agent's own",
    "serving/playbook.py": "units, the playbook's environment file, a file of the agent's own",
    "serving/mount.py:disable_final": "a folder of systemd's",
    "serving/mount.py:stop_staging": "a unit's file",
    "serving/probe.py:_look": "done as the store's owner",
    "serving/probe.py:_read_anew": "done as the store's owner",
    "serving/proof.py:_md5_of": "done as the store's owner",
    "serving/proof.py:write_probe.write": "done as the store's owner",
    "copying/b2.py:install": "a folder of the agent's own",
    "copying/concurrency.py:free_memory": "/proc",
    "copying/trial.py:_lay": "a folder of root's, before it is given away",
    "copying/trial.py:try_copies": "that folder",
    "media/synapse_db.py": "the database's client and file",
    "media/walk.py:list_folder": "what os.scandir said of an open folder",
    "media/listener.py": "descriptors of the kernel's events",
    "migration/remount.py:_settle": "a file of the agent's own",
    "migration/swap.py:_Hold._make": "done as the store's owner",
    "serving/write_cache.py": "a folder that root alone may write to",
    "serving/metrics.py": "/sys, units, a file of the agent's own",
    "serving/hold.py": "a file of the agent's own",
    "serving/provider.py:trouble": "units of the playbook's",
    "serving/store_in_use.py:_configuration": "/proc",
    "serving/mount_point.py:make": "in an open folder",
}
STORE = {"store_path", "backup_path"}
PURE = {"with_name", "relative_to", "as_posix"}


def calls(tree: ast.AST, within: str = "") -> Iterator[tuple[str, ast.Call]]:
    for node in ast.iter_child_nodes(tree):
        inner = within
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            inner = f"{within}.{node.name}".lstrip(".")
        if isinstance(node, ast.Call):
            yield within, node
        yield from calls(node, inner)


def is_bare(call: ast.Call) -> bool:
    """Whether the call takes a path, and follows it."""
    name = call.func
    if isinstance(name, ast.Name):
        return name.id == "open"
    if not isinstance(name, ast.Attribute):
        return False
    of = name.value.id if isinstance(name.value, ast.Name) else ""
    if of == "os":
        return name.attr in OF_OS and not {"dir_fd", "src_dir_fd"} & {word.arg for word in call.keywords}
    if of == "shutil":
        return name.attr in OF_SHUTIL
    return name.attr in OF_PATH


def is_of_the_store(call: ast.Call) -> bool:
    """Whether a method of the store's own path is called that asks or changes the disk."""
    name = call.func
    return (
        isinstance(name, ast.Attribute)
        and isinstance(name.value, ast.Attribute)
        and name.value.attr in STORE
        and name.attr not in PURE
    )


def bare(text: str) -> list[str]:
    """The functions of a module's text that use a path, each with the line."""
    return [f"{within}:{call.lineno}" for within, call in calls(ast.parse(text)) if is_bare(call)]


def allowed(module: str, within: str) -> bool:
    return any(f"{module}:{within}".startswith(place) for place in ALLOWED)


MODULES = sorted(str(path.relative_to(AGENT)) for path in AGENT.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_no_module_but_one_touches_the_media_store_by_a_path(module: str) -> None:
    text = (AGENT / module).read_text()
    assert [place for place in bare(text) if not allowed(module, place.partition(":")[0])] == []
    of_the_store = [call.lineno for _, call in calls(ast.parse(text)) if is_of_the_store(call)]
    assert of_the_store == [], "the store's own path is opened by host/beneath.py"


@pytest.mark.parametrize(
    "line",
    ["os.rename(a, b)", "open(path)", "server.store_path.stat()", "root.rglob('*')", "shutil.rmtree(x)", "p.chmod(1)"],
)
def test_a_path_that_is_used_is_seen(line: str) -> None:
    assert bare(f"def work():\n    {line}\n") == ["work:2"]


def test_what_is_allowed_is_there() -> None:
    for place in ALLOWED:
        module, _, function = place.partition(":")
        assert (AGENT / module).exists()
        last = function.rpartition(".")[2]
        assert not function or f"def {last}(" in (AGENT / module).read_text(), f"{place} is gone"
