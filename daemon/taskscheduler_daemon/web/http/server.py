"""The HTTP server: bounds for connections and for the time that each may take, and a log that strangers cannot fill."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from typing import Any, Protocol

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler_daemon.monitoring.service_manager import ServiceManager
from taskscheduler_daemon.web.http.endless import is_endless

HEADERS_WITHIN = 10.0  #: seconds from the beginning of a connection or a request to the end of its headers

ANSWERED_WITHIN = 120.0  #: seconds from the headers of a request until its answer has been taken

MOST_CONNECTIONS = 400

ACCEPTED_AT_ONCE = 64  #: connections, before those that are too many are closed

_OTHER_FILES = 160  #: connections to the database, and what else is open

_LARGEST_HEADERS = 32 * 1024  #: bytes

_SIGNS = 3  #: signs of life that are due in the time after which the service manager kills this process

_RARELY = 30.0  #: seconds between two warnings of a kind

logger = logging.getLogger(__name__)


class BoundedConnection(H11Protocol):
    """A connection that ends if its headers or its answer take too long.

    If there are too many, the oldest one that waits for a request gives way.
    """

    most = MOST_CONNECTIONS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admits the connection, if another one can give way."""
        self.opened_at = self.loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._timed: object = None  #: the request for which the timer runs; None: it has no headers yet
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > self.most:
            self._make_room()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _make_room(self) -> None:
        others = [one for one in self.connections if isinstance(one, BoundedConnection)]
        alive = [one for one in others if not one.transport.is_closing()]
        if len(alive) <= self.most:
            return
        idle = [one for one in alive if not one.is_busy and one is not self]
        min(idle, key=lambda one: one.opened_at, default=self).transport.abort()
        logger.warning("more than %d connections; the oldest without a request is closed", self.most)

    def data_received(self, data: bytes) -> None:
        """Handles a part of a request."""
        super().data_received(data)
        self._watch()

    def _watch(self) -> None:
        """Starts the timer for the headers, or for the request that has just begun. Parts do not prolong it."""
        wanted = self.cycle if self.is_busy else None
        if self._timer is not None and wanted is self._timed:
            return
        self._unwatch()
        self._timed = wanted
        seconds = HEADERS_WITHIN if wanted is None else ANSWERED_WITHIN
        self._timer = self.loop.call_later(seconds, self._is_late)

    def _is_late(self) -> None:
        """Ends the connection, unless its answer is a stream of which the client takes what comes."""
        self._timer = None
        if self.is_busy and is_endless(self.cycle.scope) and not self.transport.get_write_buffer_size():
            self._timer = self.loop.call_later(ANSWERED_WITHIN, self._is_late)
        else:
            self.transport.abort()

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_response_complete(self) -> None:
        """Waits for the next request of this connection; how long is the option timeout_keep_alive."""
        if not self.transport.get_write_buffer_size():  # else the client has not taken the answer yet
            self._unwatch()
        super().on_response_complete()
        if self.is_busy:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._unwatch()
        super().connection_lost(exc)


class RareWarnings(logging.Filter):
    """Passes a warning of each kind once in a while, and errors always."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__()
        self._clock = clock
        self._next: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns whether a record is logged."""
        if record.levelno != logging.WARNING:
            return True
        kind, now = str(record.msg), self._clock.monotonic()
        if now < self._next.get(kind, 0.0):
            self._held_back[kind] = self._held_back.get(kind, 0) + 1
            return False
        self._next[kind] = now + _RARELY
        if count := self._held_back.pop(kind, 0):
            record.msg = f"{record.msg} (and {count} times since the last such line)"
        return True


class Application(Protocol):
    """An ASGI application with answers that have no end of their own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        ...

    def end_streams(self) -> None:
        """Ends those answers. May block for a second."""
        ...


class WebServer(uvicorn.Server):
    """Serves an application on sockets that listen already, and tells systemd about it if that has started it."""

    def __init__(
        self,
        config: uvicorn.Config,
        application: Application,
        manager: ServiceManager | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(config)
        self._application = application
        self._manager = manager
        self._clock = clock
        self._sign_due = float("-inf")

    async def on_tick(self, counter: int) -> bool:
        """Gives a sign of life when one is due. Called ten times a second by the event loop, unless that hangs."""
        manager = self._manager
        if manager is not None and manager.watchdog is not None:
            now = self._clock.monotonic()
            if now >= self._sign_due and manager.alive():
                self._sign_due = now + manager.watchdog / _SIGNS
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the streams, then the connections that are idle or answered in time."""
        if self._manager is not None:
            self._manager.stopping()
        await asyncio.to_thread(self._application.end_streams)
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to accept connections."""
        asyncio.get_running_loop().set_exception_handler(_log_loop_error)
        await super().startup(sockets)
        if self._manager is not None and self.started:
            self._manager.ready()


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs an error of the event loop; what refuses new connections does so many times in a row."""
    if "accept" in str(context.get("message")):
        logger.warning("no more connections can be accepted: %s", context.get("exception"))
    else:
        loop.default_exception_handler(context)


def web_server(app: Application, verbose: bool) -> WebServer:
    """Returns a server for this application, within the open files that this process may have."""
    BoundedConnection.most = _most_connections()
    rarely = RareWarnings()
    for one in (logger, logging.getLogger("uvicorn.error")):
        one.addFilter(rarely)
    return WebServer(
        uvicorn.Config(
            app,
            http=BoundedConnection,
            ws="none",
            log_config=None,
            log_level="info" if verbose else "warning",
            server_header=False,
            proxy_headers=False,
            backlog=ACCEPTED_AT_ONCE,
            h11_max_incomplete_event_size=_LARGEST_HEADERS,
            timeout_graceful_shutdown=10,
        ),
        app,
        ServiceManager.of_environment(),
    )


def _most_connections() -> int:
    """Returns how many connections may be open at once; raises the soft limit on open files as far as needed."""
    needed = MOST_CONNECTIONS + ACCEPTED_AT_ONCE + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < needed:
        soft = needed if hard < 0 else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MOST_CONNECTIONS if soft < 0 else max(8, min(MOST_CONNECTIONS, soft - ACCEPTED_AT_ONCE - _OTHER_FILES))
