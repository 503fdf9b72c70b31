"""Logs that a connection is slow, so that nobody waits in front of a silent program."""

from __future__ import annotations

import logging
import os
import threading
from types import TracebackType
from typing import Any, Self

from taskscheduler.store.client import Database
from taskscheduler.store.driver_errors import first_sentence

NAMED_AFTER = 1.0  #: seconds without a server after which the log says where the connection goes

EXPLAINED_AFTER = 5.0  #: seconds after which it says why there is none


class SlowConnection:
    """Watches a client that is connecting, as a context: in it, a thread looks whether a server has been found."""

    def __init__(self, database: Database[Any], logger: logging.Logger) -> None:
        self._client = database.client
        self._place = f"{', '.join(_seeds(database)) or 'servers that DNS names'}, database {database.name}"
        self._logger = logger
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ts-slow-connection", daemon=True)
        self._pid = os.getpid()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._pid == os.getpid():
            self._thread.join()

    def _watch(self) -> None:
        if self._has_server(NAMED_AFTER):
            return
        self._logger.info("connecting to %s", self._place)
        if not self._has_server(EXPLAINED_AFTER - NAMED_AFTER):
            self._logger.warning("no connection to %s yet: %s", self._place, self._reason())

    def _has_server(self, within: float) -> bool:
        return self._over.wait(within) or self._client.topology_description.has_writable_server()

    def _reason(self) -> str:
        servers = self._client.topology_description.server_descriptions().values()
        errors = [first_sentence(server.error) for server in servers if server.error is not None]
        if errors:
            return "; ".join(sorted(set(errors)))
        if any(server.is_server_type_known for server in servers):
            return "no server that answers is the primary"
        return "no server answers"


def _seeds(database: Database[Any]) -> list[str]:
    servers = database.client.topology_description.server_descriptions()
    return sorted(f"{host}:{port}" if port is not None else host for host, port in servers)
