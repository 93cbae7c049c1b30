"""A browser, to look at pages as people do: Chromium without a window.

In a Debian tree of its own, since Ubuntu has Chromium as a snap only; without a network, so that a page
which needs one shows it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from .server import kinds
from .world import HOME, run, tell

TREE = HOME / "browser"
PACKAGES = "chromium-headless-shell,fonts-dejavu-core"
_PAGE = Path("/srv/page.html")


def build() -> None:
    """Once; raises what `run` does where a package cannot be had."""
    if not TREE.exists():
        tell("installing a browser for the sandbox (about 1 min) ...")
        new = TREE.with_name("browser.new")
        shutil.rmtree(new, ignore_errors=True)
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", kinds.KINDS["plain"].suite, new)
        new.rename(TREE)


def _chromium(html: str, *arguments: str, dark: bool, width: int, beside: Path | None = None) -> str:
    build()
    page = TREE / _PAGE.relative_to("/")
    shutil.rmtree(page.parent, ignore_errors=True)
    shutil.copytree(beside, page.parent) if beside else page.parent.mkdir()
    page.write_text(html)
    return run(
        "systemd-nspawn", "--quiet", "--directory", TREE, "--register=no", "--keep-unit", "--private-network", "--pipe",
        "chromium-headless-shell", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--window-size={width},1400",
        *arguments, _PAGE.as_uri(),
    )  # fmt: skip


def document(html: str, *, dark: bool = False, width: int = 1000, beside: Path | None = None) -> str:
    """The page's document once its scripts have run, as HTML; `width` in pixels, `beside` its folder."""
    return _chromium(html, "--dump-dom", dark=dark, width=width, beside=beside)


def screenshot(html: str, *, dark: bool = False, width: int = 1000) -> bytes:
    """The page as a PNG; `width` in pixels."""
    picture = TREE / "srv/page.png"
    _chromium(html, f"--screenshot=/{picture.relative_to(TREE)}", dark=dark, width=width)
    return picture.read_bytes()
