"""The copy of the agent with its bytecode: used where it fits, passed over where it does not."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

from agent.host import compiled

#: As components/host/zipapp.py has it; the package says which of its files was read.
MAIN = 'import sys\nsys.path.insert(0, sys.path[0] + ".{content}")\nfrom package import told\nprint(told())\n'
PACKAGE = """\
import pkgutil
def told():
    return "{word}", __file__.rpartition("/")[2], pkgutil.get_data(__name__, "data")
"""


def zipapp(word: str) -> bytes:
    files = {
        "__main__.py": MAIN.format(content=word), "content": word, "package/__init__.py": PACKAGE.format(word=word),
        "package/data": "data",
    }  # fmt: skip
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def run(agent: Path) -> str:
    return subprocess.run([sys.executable, str(agent)], capture_output=True, text=True, check=True).stdout.strip()


def test_the_bytecode_is_used_and_the_data_found_beside_it(tmp_path: Path) -> None:
    agent = tmp_path / "agent.pyz"
    agent.write_bytes(zipapp("one"))
    assert run(agent) == "('one', '__init__.py', b'data')"
    compiled.lay(agent, zipapp("one"))
    assert run(agent) == "('one', '__init__.pyc', b'data')"


def test_a_copy_of_another_version_is_never_used_and_goes(tmp_path: Path) -> None:
    agent = tmp_path / "agent.pyz"
    compiled.lay(agent, zipapp("one"))
    agent.write_bytes(zipapp("two"))
    assert run(agent) == "('two', '__init__.py', b'data')", "between both writes"
    compiled.lay(agent, zipapp("two"))
    assert run(agent) == "('two', '__init__.pyc', b'data')"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent.pyz", "agent.pyz.two"]


def test_bytecode_of_another_python_is_passed_over(tmp_path: Path) -> None:
    """As after an upgrade of the distribution: what runs at boot must not depend on it."""
    agent = tmp_path / "agent.pyz"
    agent.write_bytes(zipapp("one"))
    compiled.lay(agent, zipapp("one"))
    copy = tmp_path / "agent.pyz.one"
    with zipfile.ZipFile(copy) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(copy, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, b"\x00\x00\x0d\x0a" + data[4:] if name.endswith("c") else data)
    assert run(agent) == "('one', '__init__.py', b'data')"


def test_a_copy_that_is_damaged_as_a_whole_is_passed_over(tmp_path: Path) -> None:
    agent = tmp_path / "agent.pyz"
    agent.write_bytes(zipapp("one"))
    (tmp_path / "agent.pyz.one").write_bytes(b"half of a fi")
    assert run(agent) == "('one', '__init__.py', b'data')"
