"""A store far away: every byte arrives later by half a round trip, in both directions.

The kernel's own delay (netem) is not in every kernel. This passes TLS on as it is, so that both ends stay the
real ones; opening a connection costs one round trip more, as TCP's handshake would.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from sandbox.store import PORT
from sandbox.world import HOST_ADDRESS

FAR_PORT = 9500
BLOCK = 1 << 18


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Blocks leave in their order, each `delay` seconds after it came; many may be on their way."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

    async def deliver() -> None:
        with contextlib.suppress(OSError):
            while True:
                due, block = await under_way.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not block:
                    break
                writer.write(block)
                await writer.drain()
        writer.close()

    delivery = asyncio.create_task(deliver())
    block = b"-"
    while block:
        try:
            block = await reader.read(BLOCK)
        except OSError:
            block = b""
        await under_way.put((loop.time() + delay, block))
    await delivery


@contextlib.contextmanager
def far_away(milliseconds: int) -> Iterator[str]:
    """The store's endpoint at a round trip of so many milliseconds; its own one for 0."""
    if not milliseconds:
        yield f"https://{HOST_ADDRESS}:{PORT}"
        return
    loop = asyncio.new_event_loop()
    half = milliseconds / 2000

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * half)
        up_reader, up_writer = await asyncio.open_connection(HOST_ADDRESS, PORT)
        with contextlib.suppress(asyncio.CancelledError):  # the end of all
            await asyncio.gather(_pass_on(reader, up_writer, half), _pass_on(up_reader, writer, half))

    async def start() -> asyncio.Server:
        return await asyncio.start_server(serve, HOST_ADDRESS, FAR_PORT)

    async def end() -> None:
        listening.close()
        ending = asyncio.all_tasks() - {asyncio.current_task()}
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listening = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield f"https://{HOST_ADDRESS}:{FAR_PORT}"
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
