"""ProbeServer: answers scrapes and probes of a node, from threads that end with it."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Protocol

from taskscheduler.errors import InvalidOptionError
from taskscheduler_daemon.system.private_descriptors import keep_private

logger = logging.getLogger(__name__)

_SLOWEST = 5.0  #: seconds that a client may take to send or to take something

_MOST_AT_ONCE = 8  #: connections; more are closed at once

_TEXT = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """What is answered to a request."""

    body: bytes
    code: int = 200
    content_type: str = _TEXT


class Answers(Protocol):
    """Who answers. Called from several threads."""

    def metrics(self, accept: str) -> Answer:
        """Answers a scrape."""
        ...

    def live(self) -> Answer:
        """Says whether the process works."""
        ...

    def ready(self) -> Answer:
        """Says whether it is ready for work."""
        ...


def probe(faults: list[str]) -> Answer:
    """Returns the answer to a probe: `ok`, or what is wrong, a line each."""
    return Answer(b"ok\n") if not faults else Answer("".join(f"{fault}\n" for fault in faults).encode(), 503)


def listening(host: str, port: int) -> socket.socket:
    """Returns a socket that listens; InvalidOptionError if it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        host.encode("idna")  # create_server would leave its socket open
        made = socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = str(getattr(error, "strerror", None) or error).partition(" (")[0]
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise InvalidOptionError(
            f"option metrics_port: cannot listen on {where}: {reason}; give another --metrics-port or --metrics-host"
        ) from error
    keep_private(made.fileno())
    return made


class ProbeServer:
    """Serves on a socket until it is stopped; then none of its threads is left."""

    def __init__(self, listener: socket.socket, answers: Answers) -> None:
        self._server = _Server(listener, answers)
        keep_private(self._server.socket.fileno())
        self._thread = threading.Thread(target=self._server.serve_forever, name="taskscheduler-probes", daemon=True)

    def start(self) -> None:
        """Starts its thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends its threads, also those whose clients are slow."""
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that `server_close` waits for them: no thread may be left when the node forks

    def __init__(self, listener: socket.socket, answers: Answers) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener.dup()
        self.answers = answers
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answers a connection in a thread of its own, unless there are too many."""
        with self._lock:
            is_one_too_many = len(self._open) >= _MOST_AT_ONCE
            if not is_one_too_many:
                self._open.add(request)
        if is_one_too_many:
            super().shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Interrupts the connections that are open."""
        with self._lock:
            for one in self._open:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # its client was faster

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the signature of its base
        """Notes what a client has done, such as going away."""
        logger.debug("a scrape or probe was not answered", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = _SLOWEST
    server_version, sys_version = "taskscheduler", ""
    server: _Server

    def do_GET(self) -> None:
        """Answers a request; the name is that of the standard library."""
        answers = self.server.answers
        paths: Mapping[str, Callable[[], Answer]] = {
            "/metrics": lambda: answers.metrics(self.headers.get("Accept", "")),
            "/livez": answers.live,
            "/readyz": answers.ready,
        }
        found = paths.get(self.path.partition("?")[0])
        if found is None:
            self._send(Answer(b"there are /metrics, /livez and /readyz\n", 404))
            return
        try:
            answer = found()
        except Exception:
            logger.exception("a scrape or probe failed", extra={"path": self.path[:200]})
            answer = Answer(b"technical error; see the log of the node\n", 500)
        self._send(answer)

    def do_HEAD(self) -> None:
        """Answers without the body."""
        self.do_GET()

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.code)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs requests only for those who look for faults: probes come every few seconds."""
        logger.debug(format, *args)
