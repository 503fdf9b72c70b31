"""Messages to and from services: in order, delivered once, kept for a day."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Deadline
from taskscheduler.connection import Connection
from taskscheduler.model.payload import payload
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.services import FROM_SERVICE, TO_SERVICE

_FIRST_LOOK, _LONGEST_PAUSE = 0.01, 0.25  #: seconds between two looks for a message


class ServiceMessages:
    """Sends and receives the messages of services. Safe to use from many threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send_to(self, service: ObjectId, value: Any) -> None:
        """Sends a value to a service."""
        self._send(service, TO_SERVICE, value)

    def send_from(self, service: ObjectId, value: Any) -> None:
        """Sends a value out of a service."""
        self._send(service, FROM_SERVICE, value)

    def receive_at(
        self, service: ObjectId, deadline: Deadline, default: Any, pause: Callable[[float], bool] | None = None
    ) -> Any:
        """Returns the oldest value sent to a service; `default` if none comes in time or `pause` returns True."""
        return self._receive(service, TO_SERVICE, deadline, default, pause)

    def receive_from(self, service: ObjectId, deadline: Deadline, default: Any) -> Any:
        """Returns the oldest value that a service has sent; `default` if none comes in time."""
        return self._receive(service, FROM_SERVICE, deadline, default, None)

    def _send(self, service: ObjectId, way: str, value: Any) -> None:
        value = payload("the message", "value", value, self._connection.options.max_payload)
        with translated():
            self._connection.store.service_messages.put(service, way, value)

    def _receive(
        self, service: ObjectId, way: str, deadline: Deadline, default: Any, pause: Callable[[float], bool] | None
    ) -> Any:
        wait, length = pause or threading.Event().wait, _FIRST_LOOK
        while True:
            with translated():
                found = self._connection.store.service_messages.take(service, way)
            if found is not None:
                return found["value"]
            if deadline.passed or wait(deadline.left(length)):
                return default
            length = min(_LONGEST_PAUSE, length * 1.5)
