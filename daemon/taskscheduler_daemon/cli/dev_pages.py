"""Serves the web pages beside a node for development, in a process of their own."""

from __future__ import annotations

import importlib.util
import secrets
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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


@contextmanager
def dev_pages(settings: Settings, uri: str, modules: Sequence[str]) -> Iterator[str]:
    """Serves the pages until the end; gives their address, with the token that every request needs.

    Without a token, other users of this host could read the jobs. The port is 8080, or a free one if that is taken.
    """
    token = secrets.token_urlsafe(16)
    with _listening() as listener:
        descriptor = listener.fileno()
        arguments = ["web", "--fd", str(descriptor), *(f"--jobs={name}" for name in modules)]
        arguments += [f"--{name.replace('_', '-')}={value}" for name, value in settings.collections.items()]
        environment = {f"TASKSCHEDULER_WEB_{name}": "" for name in _NOT_FOR_US}
        environment |= {URI_VARIABLE: uri, "TASKSCHEDULER_WEB_TOKEN": token}
        with NodeSubprocess(
            _CHILD, arguments, log=sys.stderr.buffer, environment=environment, descriptors=[descriptor]
        ):
            yield f"http://dev:{token}@{_HOST}:{listener.getsockname()[1]}/"


def _listening() -> socket.socket:
    try:
        return socket.create_server((_HOST, _PORT))
    except OSError:
        return socket.create_server((_HOST, 0))
