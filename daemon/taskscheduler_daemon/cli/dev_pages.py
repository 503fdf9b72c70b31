"""Serves the web pages beside a node for development, in a process of their own."""

from __future__ import annotations

import importlib.util
import secrets
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from taskscheduler.connection import URI_VARIABLE
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.system.node_subprocess import NodeSubprocess

_CHILD = "taskscheduler_daemon.cli.child"

_HOST, _PORT = "127.0.0.1", 8080

_NEEDED = ("fastapi", "uvicorn", "jinja2")

#: options of `taskscheduler web` that its environment might set, and that do not fit pages for one developer
_NOT_FOR_US = (
    "TOKEN_FILE", "ROOT_PATH", "USERS", "PROXY_USER_HEADER", "PROXY_ROLE_HEADER", "PROXY_ROLE", "PROXY_FROM",
)  # fmt: skip


def can_serve() -> bool:
    """Returns whether what the web pages need is installed."""
    return all(importlib.util.find_spec(name) is not None for name in _NEEDED)


class DevPages:
    """The pages of one developer, at one address; without the token in it, other users of this host could read jobs.

    The port is 8080, or a free one if that is taken. It is kept until the end, however often the pages are served.
    """

    def __init__(self, settings: Settings, uri: str) -> None:
        self._token = secrets.token_urlsafe(16)
        self._environment = {f"TASKSCHEDULER_WEB_{name}": "" for name in _NOT_FOR_US}
        self._environment |= {URI_VARIABLE: uri, "TASKSCHEDULER_WEB_TOKEN": self._token}
        self._collections = [f"--{name.replace('_', '-')}={value}" for name, value in settings.collections.items()]
        self._listener = _listening()

    def __enter__(self) -> DevPages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    @property
    def address(self) -> str:
        """Where the pages are, with the token that every request needs."""
        return f"http://dev:{self._token}@{_HOST}:{self._listener.getsockname()[1]}/"

    @contextmanager
    def serve(self, modules: Sequence[str]) -> Iterator[None]:
        """Serves them for a while, with the jobs of these modules."""
        descriptor = self._listener.fileno()
        arguments = ["web", "--fd", str(descriptor), *(f"--jobs={name}" for name in modules), *self._collections]
        with NodeSubprocess(
            _CHILD, arguments, log=sys.stderr.buffer, environment=self._environment, descriptors=[descriptor]
        ):
            yield


def _listening() -> socket.socket:
    try:
        return socket.create_server((_HOST, _PORT))
    except OSError:
        return socket.create_server((_HOST, 0))
