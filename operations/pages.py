"""This module makes the documentation's site of the pages in this repository: README is its first page.

It is a hook of MkDocs (https://www.mkdocs.org/user-guide/configuration/#hooks). Links to files that are no pages of the
site become their names.
"""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from typing import Any

from operations.workspace import ROOT

#: A link of Markdown: its text, its target, and the place on that page.
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]*)(#[^)]*)?\)")
#: Which page README is.
FIRST = "index.md"


def linked(text: str, page: str) -> str:
    """Return a page's text with its links as the site has them. It is pure.

    :param page: the page's path in this repository.
    """

    def link(found: re.Match[str]) -> str:
        said, target, place = found[1], found[2], found[3] or ""
        if not target or ":" in target:
            return found[0]
        path = PurePosixPath(os.path.normpath(PurePosixPath(page).parent / target))
        if str(path) == "README.md":
            return f"[{said}]({_from(page, FIRST)}{place})"
        if path.parts[0] != "docs":
            return f"{said} (`{path}`)"
        return f"[{said}]({_from(page, path.relative_to('docs'))}{place})"

    return _LINK.sub(link, text)


def _from(page: str, target: str | PurePosixPath) -> str:
    """Return the path of a page of the site as another page's link says it."""
    folder = PurePosixPath(page).parent
    return os.path.relpath(target, folder.relative_to("docs") if folder.parts else ".")


def on_files(files: Any, config: Any) -> Any:
    """Add README to the site's files."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, FIRST, content=(ROOT / "README.md").read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Return the text of a page of the site."""
    path = page.file.src_uri
    return linked(markdown, "README.md" if path == FIRST else f"docs/{path}")
