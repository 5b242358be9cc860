"""One address before several servers: TCP connections go round among those that can be reached."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

READ_BYTES = 64 * 1024


class Balancer:
    """Give it `ports`; each connection goes to the next of them that answers."""

    def __init__(self, ports: list[int]) -> None:
        self._turns = itertools.cycle(ports)
        self._count = len(ports)
        self._open: set[asyncio.Task[None]] = set()
        self.url = ""

    async def end(self) -> None:
        """Cut all connections."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in itertools.islice(self._turns, self._count):
            try:
                there = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            copies = {
                asyncio.create_task(_copy(reader, there[1])),
                asyncio.create_task(_copy(there[0], writer)),
            }
            self._open |= copies
            await asyncio.wait(copies)
            self._open -= copies
            return
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while data := await reader.read(READ_BYTES):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


@asynccontextmanager
async def balancer(ports: list[int]) -> AsyncIterator[Balancer]:
    """A balancer that runs while the context lasts."""
    made = Balancer(ports)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        await made.end()
