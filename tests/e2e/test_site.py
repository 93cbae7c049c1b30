"""The documentation as a site: no link leads nowhere, and it can be read on a phone and on a desk."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from operations.pages import linked
from sandbox import browser
from sandbox.world import ROOT

LOOK = Path(__file__).with_name("look.js").read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It is built as `make site` does, which fails for a link or a place on a page that is not there."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [ROOT / ".venv/bin/python", "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("page", ["index.html", "runbook.html", "configuration.html", "decisions/index.html"])
def test_a_page_of_the_site_fits_a_phone_and_a_desk(site: Path, page: str, width: int) -> None:
    text = (site / page).read_text().replace("</body>", f"<script>{LOOK}</script></body>")
    if "/" in page:
        text = text.replace('"../', '"')
    shown = browser.document(text, width=width, beside=site)
    found = re.search(r"<body[^>]*>(\{.*?\})\s*</body>", shown, re.S)
    assert found, shown[-500:]
    seen = json.loads(html.unescape(found[1]))
    assert seen["texts"] > 40 and seen["height"] > 800
    assert seen["overflow"] <= 0


def test_nothing_on_the_site_is_fetched_from_elsewhere_but_where_a_drawing_needs_it(site: Path) -> None:
    for page in site.rglob("*.html"):
        fetched = re.findall(r'(?:src|href)="(https?://[^"]+)"', page.read_text().partition("<body")[0])
        assert fetched == [], page.name


def test_a_link_leads_to_the_sites_page_or_becomes_the_files_name() -> None:
    assert linked("[a](docs/runbook.md#x) [b](stacks/a.yaml) [c](#y)", "README.md") == (
        "[a](runbook.md#x) b (`stacks/a.yaml`) [c](#y)"
    )
    assert linked("[a](../README.md#x) [b](scale.md)", "docs/ci.md") == "[a](index.md#x) [b](scale.md)"
    assert linked("[a](../ci.md) [b](../../README.md) [c](0002.md)", "docs/decisions/0001.md") == (
        "[a](../ci.md) [b](../index.md) [c](0002.md)"
    )
    assert (
        linked("![a](docs/a.png) [b](https://example.com/x)", "README.md") == "![a](a.png) [b](https://example.com/x)"
    )
