"""The contract about who imports whom, which `make lint` keeps, bites; and the agent's house looks as it should."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.world import ROOT

ROOMS = {"commands", "copying", "host", "media", "migration", "model", "serving", "setup", "state", "store"}
PACKAGES = ("agent", "bench", "components", "operations", "sandbox", "tests")
#: What only the journal may assign to, in whatever object.
STATE = {"phase", "serving", "window", "generation"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and the contract, to break them."""
    folder = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.json"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def broken(copy: Path, module: str, line: str) -> str:
    """What the contract says once a module has a further line."""
    file = copy / module
    before = file.read_text()
    file.write_text(f"{before}\n{line}\n")
    try:
        done = subprocess.run(
            [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=copy, text=True, capture_output=True
        )
    finally:
        file.write_text(before)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return "" if done.returncode == 0 else done.stdout


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        ("agent/media/walk.py", "from ..state import journal", "agent.media.walk -> agent.state.journal"),
        ("agent/model/errors.py", "from ..host import files", "agent.model.errors -> agent.host.files"),
        ("agent/setup/drift.py", "from ..migration import edges", "agent.setup.drift -> agent.migration.edges"),
        ("agent/copying/rsync.py", "def late():\n    from ..serving import guard", "agent.copying.rsync -> agent.serv"),
        ("agent/host/files.py", "from ..store import bucket", "agent.host.files -> agent.store.bucket"),
        ("components/outputs.py", "from agent.state import journal", "components.outputs -> agent.state.journal"),
        ("operations/init.py", "from agent.media import walk", "operations.init -> agent.media.walk"),
        ("agent/serving/guard.py", "import sandbox.world", "agent.serving.guard -> sandbox.world"),
    ],
    ids=[
        "up",
        "out of the model",
        "sibling",
        "sibling, in a function",
        "host to store",
        "components",
        "verbs",
        "sandbox",
    ],
)
def test_an_import_against_the_contract_is_refused_by_name(copy: Path, module: str, line: str, said: str) -> None:
    assert said in broken(copy, module, line)


def test_a_room_that_nobody_knows_is_refused(copy: Path) -> None:
    (copy / "agent/attic").mkdir()
    (copy / "agent/attic/__init__.py").touch()
    assert "attic" in broken(copy, "agent/model/errors.py", "")
    shutil.rmtree(copy / "agent/attic")
    assert broken(copy, "agent/model/errors.py", "") == ""


def test_the_agent_has_its_ten_rooms_and_nothing_beside_them() -> None:
    found = {path.name for path in (ROOT / "agent").iterdir() if path.name != "__pycache__"}
    assert found == ROOMS | {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("folder", PACKAGES)
def test_no_module_is_over_300_lines(folder: str) -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert long == {}


def assignments(path: Path) -> set[str]:
    """Attributes that a module assigns to, by whatever way: `a.b = c`, `a.b += c`, `setattr(a, "b", c)`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called in ("setattr", "__setattr__"):
                found |= {
                    arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                }
        for target in targets:
            found |= {inner.attr for inner in ast.walk(target) if isinstance(inner, ast.Attribute)}
    return found


def test_only_the_journal_assigns_to_the_state_of_the_server() -> None:
    journal = ROOT / "agent/state/journal.py"
    assert assignments(journal) >= STATE, "the test sees assignments"
    for path in (ROOT / "agent").rglob("*.py"):
        if path != journal:
            assert not assignments(path) & STATE, path


def test_only_setup_and_migration_take_the_whole_run() -> None:
    takers = {
        path.parent.name
        for path in (ROOT / "agent").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and "Run" in [ast.unparse(arg.annotation) for arg in (*node.args.args, *node.args.kwonlyargs) if arg.annotation]
    }
    assert takers == {"setup", "migration"}
