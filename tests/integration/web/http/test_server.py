"""The HTTP server under strangers: bounds for connections, for the time that each may take, and for its log."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import uvicorn
from tests.support.eventually import eventually

from taskscheduler_daemon.web.http import server
from taskscheduler_daemon.web.http.endless import endless
from taskscheduler_daemon.web.http.server import ACCEPTED_AT_ONCE, BoundedConnection, RareWarnings, web_server

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
LIMIT = 20


class App:
    """Answers with as many bytes as the path says; with a path that begins with `stream`, these again and again."""

    def __init__(self) -> None:
        self.ended = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"][1:]
        body = bytes(int(path.removeprefix("stream") or 2))
        if path.startswith("stream"):
            endless(scope)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while not self.ended:
                await send({"type": "http.response.body", "body": body, "more_body": True})
                await asyncio.sleep(0.02)
            await send({"type": "http.response.body", "body": b""})
            return
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def end_streams(self) -> None:
        self.ended = True


class Served:
    """A server in a thread, and connections to it."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.server = web_server(App(), verbose=False)
        BoundedConnection.most = LIMIT
        self.opened: list[socket.socket] = []
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._listening]})
        self._thread.start()
        eventually(lambda: self.server.started)

    def open(self, sent: bytes = b"") -> socket.socket:
        one = socket.create_connection(self._listening.getsockname(), timeout=20)
        one.sendall(sent)
        self.opened.append(one)
        return one

    def answers(self) -> bool:
        with socket.create_connection(self._listening.getsockname(), timeout=20) as one:
            one.sendall(HEAD + b"Connection: close\r\n\r\n")
            return one.recv(100).startswith(b"HTTP/1.1 200")

    def close(self) -> None:
        for one in self.opened:
            one.close()
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._listening.close()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def serve(**limits: float) -> Served:
        for name, value in limits.items():
            monkeypatch.setattr(server, name, value)
        made.append(Served())
        return made[0]

    yield serve
    for one in made:
        one.close()
    for name in (server.__name__, "uvicorn.error"):
        logging.getLogger(name).filters.clear()


def is_closed(one: socket.socket) -> bool:
    """Whether the other end closes it; what it has sent before does not count."""
    try:
        while one.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def is_answered(one: socket.socket) -> bool:
    received = b""
    while not received.endswith(b"\r\n\r\n\0\0"):
        received += one.recv(1000)
    return received.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [b"", b"G", HEAD, HEAD + b"X: " + b"x" * 1000])
def test_a_connection_without_whole_headers_is_closed_in_time(served: Callable[..., Served], sent: bytes) -> None:
    one = served(HEADERS_WITHIN=0.1).open(sent)
    assert is_closed(one)


def test_headers_that_come_byte_by_byte_have_no_more_time(served: Callable[..., Served]) -> None:
    one, began = served(HEADERS_WITHIN=0.2).open(HEAD), time.monotonic()
    with suppress(ConnectionError):
        while time.monotonic() < began + 10:
            one.sendall(b"x")
            threading.Event().wait(0.05)
    assert time.monotonic() - began < 5


def test_the_second_request_of_a_connection_has_the_same_time(served: Callable[..., Served]) -> None:
    one = served(HEADERS_WITHIN=0.5).open(HEAD + b"\r\n")
    assert is_answered(one)
    one.sendall(HEAD + b"\r\n")
    assert is_answered(one)
    one.sendall(HEAD)
    assert is_closed(one)


def test_a_request_that_takes_longer_than_its_headers_may_is_answered(served: Callable[..., Served]) -> None:
    one = served(HEADERS_WITHIN=0.2).open(HEAD.replace(b"/ ", b"/50000000 ") + b"\r\n")
    threading.Event().wait(0.4)
    received = 0
    while received < 50_000_000:
        received += len(one.recv(1 << 20))


def test_an_answer_that_nobody_takes_is_given_up(served: Callable[..., Served]) -> None:
    site = served(ANSWERED_WITHIN=0.3)
    site.open(HEAD.replace(b"/ ", b"/50000000 ") + b"\r\n")
    eventually(lambda: len(site.server.server_state.connections) == 1)
    eventually(lambda: not site.server.server_state.connections)


def test_a_stream_goes_on_while_it_is_taken(served: Callable[..., Served]) -> None:
    site = served(ANSWERED_WITHIN=0.3)
    with site.open(HEAD.replace(b"/ ", b"/stream10 ") + b"\r\n") as one:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert one.recv(100)
        site.server.should_exit = True
        left = b"".join(iter(lambda: one.recv(1000), b""))
    assert left.endswith(b"0\r\n\r\n"), "a server that stops ends its streams"


def test_a_stream_that_nobody_takes_is_given_up(served: Callable[..., Served]) -> None:
    site = served(ANSWERED_WITHIN=0.3)
    site.open(HEAD.replace(b"/ ", b"/stream1000000 ") + b"\r\n")
    eventually(lambda: len(site.server.server_state.connections) == 1)
    eventually(lambda: not site.server.server_state.connections)


def test_strangers_that_send_nothing_keep_nobody_out(
    served: Callable[..., Served], caplog: pytest.LogCaptureFixture
) -> None:
    site = served()
    for _ in range(100 + LIMIT):
        site.open(HEAD)
        assert len(site.server.server_state.connections) <= LIMIT + ACCEPTED_AT_ONCE
    assert all(site.answers() for _ in range(LIMIT))
    eventually(lambda: len(site.server.server_state.connections) <= LIMIT)
    assert caplog.text.count("connections") == 1


def test_what_is_no_http_fills_no_log(served: Callable[..., Served], caplog: pytest.LogCaptureFixture) -> None:
    site = served()
    for _ in range(50):
        with site.open(b"\x16\x03\x01 hello\r\n\r\n") as one:
            assert b"400" in one.recv(1000)
    assert caplog.text.count("Invalid HTTP request") == 1


class FakeClock:
    time = 1000.0

    def monotonic(self) -> float:
        return self.time


def test_a_warning_of_a_kind_comes_once_in_a_while_with_the_number_of_the_others() -> None:
    clock = FakeClock()
    rarely = RareWarnings(clock)  # type: ignore[arg-type]

    def logged(level: int, text: str) -> str | None:
        record = logging.LogRecord("name", level, "path", 1, text, None, None)
        return record.getMessage() if rarely.filter(record) else None

    assert [logged(logging.WARNING, "full") for _ in range(5)] == ["full", None, None, None, None]
    assert logged(logging.WARNING, "odd") == "odd"
    assert logged(logging.ERROR, "full") == "full"
    clock.time += 31
    assert logged(logging.WARNING, "full") == "full (and 4 times since the last such line)"
    assert logged(logging.WARNING, "full") is None


@pytest.mark.parametrize(("soft", "most"), [(4096, 400), (300, 400), (-1, 400)])
def test_the_limit_fits_the_open_files_of_the_process(monkeypatch: pytest.MonkeyPatch, soft: int, most: int) -> None:
    limits = {resource.RLIMIT_NOFILE: (soft, 4096)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    assert server._most_connections() == most
    assert limits[resource.RLIMIT_NOFILE][0] == (624 if soft == 300 else soft)


def test_where_few_files_may_be_open_fewer_connections_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (300, 300))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    assert server._most_connections() == 76


def test_refused_connections_are_logged_in_a_line(caplog: pytest.LogCaptureFixture) -> None:
    server._log_loop_error(None, {"message": "socket.accept() out of system resource", "exception": OSError(24, "x")})  # type: ignore[arg-type]
    assert caplog.text.count("\n") == 1
    assert "no more connections" in caplog.text


def test_websockets_are_not_spoken() -> None:
    assert isinstance(web_server(App(), False).config, uvicorn.Config)
    assert web_server(App(), False).config.ws == "none"
