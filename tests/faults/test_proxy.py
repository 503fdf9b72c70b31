"""The proxies of the fault kit do to connections what they are told, and to nobody else's."""

from __future__ import annotations

import gc
import socket
import struct
import threading
import time
from collections.abc import Iterator

import bson
import pytest

from tests.faults.proxy import Proxies, client_name
from tests.support.eventually import eventually


def hello(name: str) -> bytes:
    """The first message of a client that calls itself so."""
    return bson.encode({"hello": 1, "client": {"application": {"name": name}, "driver": {"name": "test"}}})


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says everything again."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(4096):
                    connection.sendall(data)
            except OSError:
                pass

    def accept() -> None:
        try:
            while True:
                threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
        except OSError:
            pass  # closed

    threading.Thread(target=accept, daemon=True).start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture
def proxies(echo: int) -> Iterator[Proxies]:
    with Proxies([echo]) as proxies:
        yield proxies


def connected(proxies: Proxies, echo: int, name: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", proxies.ports[echo]), timeout=5)
    connection.sendall(hello(name))
    return connection


def answers(connection: socket.socket, within: float = 5.0) -> bool:
    """Whether something comes back; False for a closed connection and for silence."""
    connection.settimeout(within)
    try:
        return bool(connection.recv(4096))
    except OSError:
        return False


def is_reached(proxies: Proxies, echo: int, name: str) -> bool:
    with connected(proxies, echo, name) as connection:
        return answers(connection, 1.0)


def test_the_name_of_a_client_is_found() -> None:
    assert client_name(struct.pack("<iiii", 1, 2, 3, 2004) + hello("node-1")) == "node-1"
    assert client_name(bson.encode({"hello": 1})) == ""


def test_everything_is_passed_on(proxies: Proxies, echo: int) -> None:
    with connected(proxies, echo, "a") as connection:
        assert answers(connection)


def test_one_client_is_cut_off_and_the_other_is_not(proxies: Proxies, echo: int) -> None:
    with connected(proxies, echo, "a") as one, connected(proxies, echo, "b") as other:
        assert answers(one)
        assert answers(other)
        proxies.cut(echo, "a")
        assert not answers(one)
        with connected(proxies, echo, "a") as again:
            assert not answers(again)
        other.sendall(b"still there")
        assert answers(other)
    proxies.heal(echo, "a")
    eventually(lambda: is_reached(proxies, echo, "a"), 20, "healed")


def test_what_was_held_arrives_later(proxies: Proxies, echo: int) -> None:
    with connected(proxies, echo, "a") as connection:
        assert answers(connection)
        proxies.hold(echo, "a")
        connection.sendall(b"held")
        assert not answers(connection, 0.3)
        proxies.heal(echo, "a")
        assert answers(connection)


def test_a_delay_takes_its_time(proxies: Proxies, echo: int) -> None:
    with connected(proxies, echo, "a") as connection:
        assert answers(connection)
        proxies.delay(echo, 0.2)
        began = time.monotonic()
        connection.sendall(b"slow")
        assert answers(connection)
        assert time.monotonic() - began >= 0.4  # there and back


def test_a_reset_ends_all_open_connections_once(proxies: Proxies, echo: int) -> None:
    with connected(proxies, echo, "a") as connection:
        assert answers(connection)
        proxies.reset(echo)
        assert not answers(connection)
    with connected(proxies, echo, "a") as connection:
        assert answers(connection)


def test_who_connects_while_the_proxies_end_leaves_no_socket(echo: int) -> None:
    for _ in range(100):
        with Proxies([echo]) as proxies:
            late = [socket.create_connection(("127.0.0.1", proxies.ports[echo]), timeout=5) for _ in range(4)]
        for connection in late:
            connection.close()
        gc.collect(0)
