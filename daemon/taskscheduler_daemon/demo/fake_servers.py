"""The servers that the demo's jobs talk to: an SMTP server that writes files, and an HTTP server that is busy once.

Both listen on a free port of the loopback interface, each in a thread of its own.
"""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar

HOST = "127.0.0.1"

_CLIENT_TIMEOUT = 10.0  #: seconds in which a client must send something

_STOP_POLL = 0.05  #: seconds within which a server notices a request to stop

_LONGEST_LINE = 10_000

_LARGEST_MAIL = 10_000_000

_CAN_DO = ("250-demo", "250-8BITMIME", f"250 SIZE {_LARGEST_MAIL}")


class FakeMailServer(socketserver.ThreadingTCPServer):
    """Accepts every mail and writes it to a directory as `1.eml`, `2.eml`, ..."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, directory: Path) -> None:
        super().__init__((HOST, 0), MailSession)
        self.directory = directory
        self._mutex = threading.Lock()
        self._count = 0

    def keep(self, mail: bytes) -> None:
        """Writes one mail, whole or not at all."""
        with self._mutex:
            self._count += 1
            draft = self.directory / f"{self._count}.new"
            draft.write_bytes(mail)
            draft.rename(draft.with_suffix(".eml"))


class MailSession(socketserver.StreamRequestHandler):
    """One SMTP session, with as much of RFC 5321 as a client needs to deliver mail."""

    server: FakeMailServer
    timeout = _CLIENT_TIMEOUT

    def handle(self) -> None:
        """Answers commands until the client leaves."""
        self._sender, self._receivers = "", 0
        try:
            self._say("220 demo ready")
            while line := self.rfile.readline(_LONGEST_LINE):
                verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
                if not self._answer(verb.upper(), rest):
                    return
        except OSError:
            pass  # the client has gone, or says nothing any more

    def _answer(self, verb: str, rest: str) -> bool:
        """Answers one command; False ends the session."""
        if verb in ("EHLO", "HELO"):
            self._reset()
            self._say(*_CAN_DO) if verb == "EHLO" else self._say("250 demo")
        elif verb == "MAIL" and rest.upper().startswith("FROM:"):
            self._reset()
            self._sender = rest[5:]
            self._say("250 ok")
        elif verb == "RCPT" and rest.upper().startswith("TO:"):
            self._receivers += bool(self._sender)
            self._say("250 ok" if self._sender else "503 MAIL first")
        elif verb == "DATA":
            self._data()
        elif verb in ("RSET", "NOOP"):
            self._reset() if verb == "RSET" else None
            self._say("250 ok")
        else:
            self._say("221 bye" if verb == "QUIT" else "502 not understood")
        return verb != "QUIT"

    def _data(self) -> None:
        if not self._receivers:
            self._say("503 RCPT first")
            return
        self._say("354 end with a dot")
        lines, size = [], 0
        while (line := self.rfile.readline(_LONGEST_LINE)) not in (b".\r\n", b".\n"):
            if not line:
                raise ConnectionError("the client went in the middle of a mail")
            size += len(line)
            if size <= _LARGEST_MAIL:
                lines.append(line[1:] if line.startswith(b".") else line)
        if size <= _LARGEST_MAIL:
            self.server.keep(b"".join(lines))
        self._reset()
        self._say("250 kept" if size <= _LARGEST_MAIL else "552 too large")

    def _reset(self) -> None:
        self._sender, self._receivers = "", 0

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(line + "\r\n" for line in lines).encode())


class FakeHttpServer(http.server.ThreadingHTTPServer):
    """Answers the first request with 503, and the others with a file."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__((HOST, 0), BusyOnceSession)
        self.content = content
        self._mutex = threading.Lock()
        self._requests = 0

    def is_busy(self) -> bool:
        """Counts this request and returns whether it is the first."""
        with self._mutex:
            self._requests += 1
            return self._requests == 1

    def server_bind(self) -> None:
        """Binds the socket without a look-up of our own name, which the base class does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]


class BusyOnceSession(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: FakeHttpServer
    timeout: ClassVar[float] = _CLIENT_TIMEOUT

    def do_GET(self) -> None:
        """Answers 503 while the server is busy, else the file."""
        if self.server.is_busy():
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing, as the terminal belongs to the demo."""


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    """Runs a server in a thread; gives its port."""
    thread = threading.Thread(target=server.serve_forever, args=(_STOP_POLL,), name="demo-server", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
