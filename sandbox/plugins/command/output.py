"""This module keeps what a command writes as it is, and shows it by lines as it comes."""

from __future__ import annotations

import threading
from typing import Any

from ..checking import Values
from ..resource import Log

#: The published plugin logs with Go's bufio.Scanner, which stops reading at a line as long as this: all stands still.
LONGEST_LINE = 64 * 1024
_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"} | {
    '"': r"\"",
    "\\": r"\\",
}


class Output:
    """An `Output` has the streams of one command; the input `logging` says which of them show in the console."""

    def __init__(self, logging: str | None, log: Log) -> None:
        self._streams = {"stdout": bytearray(), "stderr": bytearray()}
        self._both = bytearray()
        self._logged = tuple(self._streams) if logging in (None, "stdoutAndStderr") else (logging,)
        self._log = log
        self._line = bytearray()
        self._stuck = False
        self._lock = threading.Lock()

    def drain(self, name: str, receive: Any) -> None:
        """Take all of a stream from a call that gives the next bytes, and none at its end."""
        while block := receive(32768):
            with self._lock:
                self._streams[name] += block
                self._both += block
                if name in self._logged:
                    self._show(block)

    def _show(self, block: bytes) -> None:
        *lines, rest = (bytes(self._line) + block).split(b"\n")
        for line in lines:
            self._tell(line)
        self._line[:] = rest

    def _tell(self, line: bytes) -> None:
        self._stuck = self._stuck or len(line) >= LONGEST_LINE
        if not self._stuck:
            self._log(line.removesuffix(b"\r").decode(errors="replace"))

    def close(self, error: str, command: str) -> Values:
        """Return the outputs. If there is an error, raise RuntimeError with it and with all that the command wrote."""
        if self._line:
            self._tell(bytes(self._line))
        if self._stuck:
            raise RuntimeError(f"the published plugin never returns from this: it logs no line of {LONGEST_LINE} bytes")
        if error:
            raise RuntimeError(f"{error}: running {quoted(command)}:\n{self._both.decode(errors='replace')}")
        return {name: bytes(stream).decode().removesuffix("\n") for name, stream in self._streams.items()}


def quoted(text: str) -> str:
    """Return the text as Go's %q writes it."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES or character.isprintable():
        return _ESCAPES.get(character, character)
    number = ord(character)
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
