"""The server for scrapes and probes ends with all its threads, whatever its clients do: a node forks after that."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from tests.support.eventually import eventually

from taskscheduler_daemon.monitoring import http_server
from taskscheduler_daemon.monitoring.http_server import Answer, ProbeServer, listening, probe


class Answers:
    """Answers that say what they were asked."""

    def metrics(self, accept: str) -> Answer:
        return Answer(accept.encode(), content_type="text/x")

    def live(self) -> Answer:
        return probe([])

    def ready(self) -> Answer:
        raise RuntimeError("the secret of the node")


@contextmanager
def served() -> Iterator[int]:
    """Serves on the yielded port; afterwards no thread of it is left."""
    with listening("127.0.0.1", 0) as listener:
        server = ProbeServer(listener, Answers())
        server.start()
        yield int(listener.getsockname()[1])
        stopping = threading.Thread(target=server.stop, daemon=True)
        stopping.start()
        stopping.join(30)
        assert not stopping.is_alive(), "a client keeps it"
    assert [one.name for one in threading.enumerate() if "process_request" in one.name or "probes" in one.name] == []


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that waits for an hour for what a client sends."""
    monkeypatch.setattr(http_server._Handler, "timeout", 3600)
    with served() as port:
        yield port


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    try:
        request = Request(f"http://127.0.0.1:{port}{path}", method=method, headers={"Accept": "x"})
        with urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_answers(port: int) -> None:
    assert get(port, "/metrics?x=1") == (200, "x")
    assert get(port, "/livez") == (200, "ok\n")
    assert get(port, "/livez", "HEAD") == (200, "")
    assert get(port, "/livez", "POST")[0] == 501
    assert get(port, "/") == (404, "there are /metrics, /livez and /readyz\n")


def test_a_fault_is_no_secret_of_the_node(port: int, caplog: pytest.LogCaptureFixture) -> None:
    assert get(port, "/readyz") == (500, "technical error; see the log of the node\n")
    assert "the secret of the node" in caplog.text


def test_clients_that_send_nothing_keep_neither_others_out_nor_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server._Handler, "timeout", 3600)
    with ExitStack() as clients, served() as port:
        silent = [clients.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(7)]
        assert get(port, "/livez") == (200, "ok\n")
        assert _closed(silent) == []
        more = [clients.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(5)]
        assert eventually(lambda: _closed(more), 30), "there are too many"


def _closed(sockets: list[socket.socket]) -> list[socket.socket]:
    """The sockets that the server has closed."""
    found = []
    for one in sockets:
        one.setblocking(False)
        try:
            if one.recv(1) == b"":
                found.append(one)
        except BlockingIOError:
            pass
    return found


def test_a_probe_says_each_fault_in_a_line() -> None:
    assert probe(["a", "b"]) == Answer(b"a\nb\n", 503)
