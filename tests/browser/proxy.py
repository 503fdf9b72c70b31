"""A small proxy that serves an application under a path, and strips the path, as nginx does with `proxy_pass …/`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def proxy(target: int, path: str) -> Iterator[int]:
    """Serves the application at the port `target` under `path`; gives the port of the proxy."""
    one = _Proxy(target, path)
    thread = threading.Thread(target=lambda: asyncio.run(one.serve()), daemon=True)
    thread.start()
    assert one.ready.wait(20)
    try:
        yield one.port
    finally:
        one.loop.call_soon_threadsafe(one.ending.set)
        thread.join(20)


class _Proxy:
    def __init__(self, target: int, path: str) -> None:
        self.ready = threading.Event()
        self._target, self._path = target, path
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        self.loop, self.ending = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        self.ready.set()
        await self.ending.wait()
        server.close()
        while self._connections:  # also those that were accepted meanwhile
            for task in self._connections:
                task.cancel()
            await asyncio.wait(self._connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._pass_on(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: writer.transport.abort())  # also if it was cancelled before it began

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes one request on, with its path shortened; the connection ends with it."""
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            there = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                there[1].write(self._shortened(head.decode("latin-1")))
                await asyncio.gather(_copied(reader, there[1]), _copied(there[0], writer))
            finally:
                there[1].transport.abort()

    def _shortened(self, head: str) -> bytes:
        first, _, rest = head.partition("\r\n")
        verb, place, version = first.split(" ")
        lines = [line for line in rest.split("\r\n") if not line.lower().startswith("connection:")]
        place = place.removeprefix(self._path) or "/"
        return "\r\n".join([f"{verb} {place} {version}", "Connection: close", *lines]).encode("latin-1")


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
        writer.write_eof()
