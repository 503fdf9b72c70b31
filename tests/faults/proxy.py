"""A loopback TCP proxy that can cut, hold, delay and reset what goes through it, for everybody or for single clients.

A client is known by the application name that it tells in the first message of each connection; mongods tell none.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_APPLICATION = re.compile(rb"application\0.{4}\x02name\0.{4}([^\0]+)\0", re.DOTALL)
_CHUNK = 64 * 1024


@dataclass(slots=True)
class Rules:
    """What happens to connections now. A name of a client, or `*` for all of them."""

    refused: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    delay: float = 0.0

    def refuse(self, name: str) -> bool:
        return bool(self.refused & {name, "*"})

    def forget(self, name: str) -> None:
        self.refused.discard(name)
        self.held.discard(name)

    def hold(self, name: str) -> bool:
        return bool(self.held & {name, "*"})


def port_of(uri: str) -> int:
    """The port of the one server in a URI."""
    return int(re.findall(r"127\.0\.0\.1:(\d+)/", uri)[0])


def through(proxies: Proxies, uri: str, milliseconds: int) -> str:
    """The URI through the proxy of its server; a client that finds none gives up after so many milliseconds."""
    there = uri.replace(f":{port_of(uri)}/", f":{proxies.ports[port_of(uri)]}/")
    alone = f"directConnection=true&serverSelectionTimeoutMS={milliseconds}"
    return re.sub(r"replicaSet=\w+", alone, there)


def client_name(first: bytes) -> str:
    """The application name in the first message of a connection; empty if it tells none."""
    found = _APPLICATION.search(first)
    return found.group(1).decode(errors="replace") if found else ""


class Proxies:
    """One proxy before each of some local ports, all on the loop of one thread."""

    def __init__(self, targets: list[int]) -> None:
        self._targets = targets
        self.ports: dict[int, int] = {}  #: the port of the proxy before each target
        self._rules = {target: Rules() for target in targets}
        self._open: dict[int, dict[asyncio.StreamWriter, str]] = {target: {} for target in targets}
        self._listeners: list[socket.socket] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)

    def __enter__(self) -> Proxies:
        self._thread.start()
        for target in self._targets:
            self.ports[target] = self._wait_for(self._listen(target))
        return self

    def __exit__(self, *_: object) -> None:
        self._wait_for(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # -- what can be done to connections ----------------------------------------------------------------------------

    def cut(self, target: int, name: str = "*") -> None:
        """Close the connections of a client and refuse new ones until `heal`."""
        self._change(target, lambda rules: rules.refused.add(name))
        self.reset(target, name)

    def hold(self, target: int, name: str = "*") -> None:
        """Pass nothing on, without a word to either side, until `heal`."""
        self._change(target, lambda rules: rules.held.add(name))

    def delay(self, target: int, seconds: float) -> None:
        """Pass everything on so much later, until `heal`."""
        self._change(target, lambda rules: setattr(rules, "delay", seconds))

    def reset(self, target: int, name: str = "*") -> None:
        """Abort the connections that are open now."""
        self._loop.call_soon_threadsafe(self._abort, target, name)

    def heal(self, target: int, name: str = "*") -> None:
        """Pass on again what was cut or held for this client."""
        self._change(target, lambda rules: rules.forget(name))

    def heal_all(self) -> None:
        """Pass everything on again."""
        for target in self._targets:
            self._rules[target] = Rules()

    def _change(self, target: int, change: Callable[[Rules], object]) -> None:
        self._loop.call_soon_threadsafe(change, self._rules[target])

    def _abort(self, target: int, name: str) -> None:
        for writer, owner in list(self._open[target].items()):
            if name in ("*", owner):
                writer.transport.abort()

    # -- connections ------------------------------------------------------------------------------------------------

    async def _listen(self, target: int) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self._listeners.append(listener)
        self._loop.add_reader(listener, self._accept, target, listener)
        port: int = listener.getsockname()[1]
        return port

    def _accept(self, target: int, listener: socket.socket) -> None:
        """Not asyncio's own server: one that closes forgets the sockets of those whom it has just let in."""
        with suppress(OSError):  # who knocked is gone
            task = self._loop.create_task(self._serve(target, listener.accept()[0]))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _serve(self, target: int, near: socket.socket) -> None:
        with near, suppress(OSError, asyncio.CancelledError):  # either side is gone, or the proxies end
            reader, writer = await asyncio.open_connection(sock=near)
            try:
                first = await reader.read(_CHUNK)
                name = self._open[target][writer] = client_name(first)
                if first and not self._rules[target].refuse(name):
                    await self._join(target, name, first, reader, writer)
            finally:
                self._open[target].pop(writer, None)
                writer.transport.abort()

    async def _join(
        self, target: int, name: str, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        far_reader, far = await asyncio.open_connection("127.0.0.1", target)
        try:
            far.write(first)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pipe(target, name, reader, far))
                both.create_task(self._pipe(target, name, far_reader, writer))
        except* OSError:
            pass
        finally:
            far.transport.abort()

    async def _pipe(self, target: int, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            if self._rules[target].delay:
                await asyncio.sleep(self._rules[target].delay)
            while self._rules[target].hold(name):
                await asyncio.sleep(0.02)
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError("one side has closed")  # ends the other direction, too

    async def _end(self) -> None:
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        await asyncio.sleep(0)  # whoever was let in last has begun: a task cancelled before would keep its socket open
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0)  # transports close their sockets a round later

    def _wait_for(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
