"""The S3 store behind a relay that can be told to be in trouble, as stores at times are."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from enum import Enum

from . import store
from .world import CERTIFICATES, HOST_ADDRESS

PORT = 9443
ENDPOINT = f"https://{HOST_ADDRESS}:{PORT}"
CHUNK = 1 << 16
#: In `SLOW`, seconds before each chunk of 64 KiB, in each direction.
DELAY = 0.25
#: In `SKEWED`, how far the store's clock is off.
SKEW = timedelta(minutes=10)
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n"
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code></Error>'
)


class Mode(Enum):
    WELL = "well"
    REFUSING = "takes no connection"
    SILENT = "takes connections and answers nothing"
    BUSY = "answers 503"
    SLOW = "takes a quarter of a second for each 64 KiB"
    SKEWED = "has a clock that is 10 minutes off"


class Relay:
    """Takes TLS connections and passes them on to the store. `turn` changes how, and ends those that stand."""

    def __init__(self) -> None:
        self.mode = Mode.WELL
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._open: set[asyncio.StreamWriter] = set()
        self._upstream = ssl.create_default_context(cafile=str(CERTIFICATES / "ca.crt"))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(CERTIFICATES / "public.crt", CERTIFICATES / "private.key")

    def turn(self, mode: Mode) -> None:
        """From now on, be so."""
        self.mode = mode
        self._loop.call_soon_threadsafe(self._end_all)

    def _end_all(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass  # either side went away, or the relay ends
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode is Mode.REFUSING:
            return
        if self.mode is Mode.SILENT:
            while await reader.read(CHUNK):
                pass
            return
        if self.mode is Mode.BUSY:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(BUSY)
            await writer.drain()
            return
        theirs, ours = await asyncio.open_connection(HOST_ADDRESS, store.PORT, ssl=self._upstream)
        self._open.add(ours)
        try:
            await asyncio.gather(self._pass(reader, ours), self._pass(theirs, writer, answers=True))
        finally:
            self._open.discard(ours)
            ours.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, answers: bool = False) -> None:
        while data := await source.read(CHUNK):
            if self.mode is Mode.SLOW:
                await asyncio.sleep(DELAY)
            if self.mode is Mode.SKEWED and answers:
                data = _skew(data)
            target.write(data)
            await target.drain()
        target.transport.abort()

    async def _listen(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, HOST_ADDRESS, PORT, ssl=self._context)
        started.set()
        await self._stop.wait()
        server.close()
        self._end_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.1)  # for the loop to close what was aborted

    @contextlib.contextmanager
    def running(self) -> Iterator[Relay]:
        started = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._listen(started)), daemon=True)
        thread.start()
        if not started.wait(10):
            raise SystemExit(f"sandbox: the relay cannot listen at {ENDPOINT}")
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()


def _skew(data: bytes) -> bytes:
    """An answer with a later date in its head."""
    head, end, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for number, line in enumerate(lines):
        if line.lower().startswith(b"date: "):
            date = parsedate_to_datetime(line[6:].decode()) + SKEW
            lines[number] = b"Date: " + format_datetime(date, usegmt=True).encode()
    return b"\r\n".join(lines) + end + body
