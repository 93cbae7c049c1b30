"""This module reads what a store's listings say, as XML. It is pure."""

from __future__ import annotations

import urllib.parse
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from ..model.errors import Problem

#: Characters of a store's message that are passed on.
LONGEST_MESSAGE = 300


@dataclass(frozen=True)
class Item:
    """An `Item` is an element of a listing; `encoded` says that names in it are encoded as in URLs."""

    element: ElementTree.Element
    space: str
    encoded: bool

    @property
    def kind(self) -> str:
        """Return the element's name without its namespace, such as `Contents`."""
        return self.element.tag.rpartition("}")[2]

    def text(self, name: str) -> str:
        """Return the text of the child of that name, decoded; it is empty where there is none."""
        found = self.element.findtext(f"{self.space}{name}") or ""
        return urllib.parse.unquote_plus(found) if self.encoded and name.endswith(("Key", "KeyMarker")) else found


def parse_listing(text: bytes, kind: str) -> ElementTree.Element:
    """Return a listing's root element. Raises `Problem` for what is none, such as a maintenance page.

    Such a page would look like an empty listing.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        root = ElementTree.Element("")
    if root.tag.rpartition("}")[2] != kind:
        raise Problem("the store's answer to a listing is not a listing", "check store.endpoint; try again later")
    return root


def parse_error(text: bytes) -> tuple[str, str]:
    """Return the code and the message of a store's refusal, on one line; each is empty where it has none.

    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return "", ""
    found = {item.tag.rpartition("}")[2]: " ".join((item.text or "").split()) for item in root.iter()}
    said = "".join(char if char.isprintable() else "?" for char in found.get("Message", ""))
    return found.get("Code", ""), said[:LONGEST_MESSAGE]


def etag_of(text: str | None, key: str) -> str:
    """Return an ETag without its quotes. Raises `Problem` where the store gives none for the object `key`."""
    etag = (text or "").strip('"')
    if not etag:
        raise Problem(
            f"the store gives no ETag for {key!r}", "such a store is not supported: nothing could be compared"
        )
    return etag
