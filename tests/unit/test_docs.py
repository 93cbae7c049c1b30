"""The pages say what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from operations import reference, state_machine
from operations.arguments import parser
from sandbox.world import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_page_of_settings_is_what_make_docs_writes() -> None:
    assert reference.PAGE.read_text() == reference.page(), "run make docs"


def test_every_setting_of_the_examples_is_on_the_page_of_settings() -> None:
    page = reference.PAGE.read_text()
    for example in (ROOT / "stacks").glob("Pulumi.example-*.yaml"):
        section = ""
        for line in example.read_text().splitlines():
            if found := re.match(r"  (?:# )?matrix-media-store:(\w+):", line):
                section = found[1]
            elif section and (found := re.match(r"    (?:# )?([a-z]\w*):(?: |$)", line)):
                assert f"`{section}.{found[1]}`" in page, f"{example.name}: {section}.{found[1]}"


def test_the_table_and_the_drawing_of_the_state_machine_are_those_that_the_code_makes() -> None:
    page = state_machine.PAGE.read_text()
    assert state_machine.filled(page) == page, "run make docs"
    assert page.count("| `cutover:") == 5 and "cutover_swapping[swapping] -.-> cutover_undoing[undoing]" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_of_a_page_is_there(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"`make ([a-z0-9 -]+)`|^ *make ([a-z0-9-]+)", page.read_text(), re.M)
    for target in {word for one, other in commands for word in (one or other).split()}:
        assert re.search(rf"^{target}:", makefile, re.M), f"make {target}"


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "stacks").glob("*.yaml"))], ids=lambda page: page.name)
def test_every_media_store_command_of_a_page_is_one_that_the_command_takes(page: Path) -> None:
    commands = re.findall(r"(?:`|^[ #]*)media-store ([a-z-]+)([^`\n]*)", page.read_text(), re.M)
    for verb, options in commands:
        if not verb.startswith("--"):
            with pytest.raises(SystemExit, match="0"):
                parser().parse_args([verb, "--help"])
        if "--stack" in options:
            parser().parse_args([verb, *options.partition("  #")[0].replace("<number>", "3").split()])


@pytest.mark.parametrize("page", ["README.md", "docs/runbook.md"])
def test_a_page_says_where_the_command_lies_before_it_uses_it(page: str) -> None:
    before, found, _ = (ROOT / page).read_text().partition("media-store init")
    assert found and "source .venv/bin/activate" in before and "`.venv/bin/media-store`" in before
