"""The page that a migration leaves, in a real browser."""

from __future__ import annotations

import html
import json
import re
import struct
from pathlib import Path

import pytest

from components import report
from sandbox import browser

from ..unit.test_report import VERDICT

LOOK = Path(__file__).with_name("look.js").read_text()


@pytest.mark.parametrize("width", [400, 1000])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_can_be_read_in_light_and_dark_on_a_wide_and_a_narrow_screen(dark: bool, width: int) -> None:
    page = report.render("prod", "matrix.example.com", "media", VERDICT)
    shown = browser.document(f"{page}<script>{LOOK}</script>", dark=dark, width=width)
    found = re.search(r"<body[^>]*>(\{.*?\})\s*</body>", shown, re.S)
    assert found, shown[-500:]
    seen = json.loads(html.unescape(found[1]))
    assert (seen["background"] < 0.2) == dark
    assert seen["texts"] > 20 and seen["height"] > 500
    assert seen["faint"] == []
    assert seen["overflow"] <= 0


def test_a_picture_of_it_is_not_blank() -> None:
    picture = browser.screenshot(report.render("prod", "matrix.example.com", "media", VERDICT))
    assert struct.unpack(">II", picture[16:24]) == (1000, 1400)
    assert len(picture) > 20_000, "a picture of one colour takes far less"
