"""Service: the base class of a job that always runs."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from typing import Any

from taskscheduler.clock import Deadline
from taskscheduler.jobs.job import SERVICE, Job
from taskscheduler.model.checks import Seconds, waiting_time

_FOREVER = 3600.0

_NOTHING = object()


class StopRequest:
    """The request that a service stops. A pipe, since a signal handler may set it while the service waits for it."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._asked = False

    def __bool__(self) -> bool:
        return self._asked

    def ask(self) -> None:
        """Asks the service to stop; this cannot be undone."""
        self._asked = True
        os.write(self._writer, b"\0")

    def wait(self, seconds: float) -> bool:
        """Waits for the request, at most so many seconds; returns whether it has come."""
        return bool(self._asked or select.select([self._reader], [], [], max(0.0, seconds))[0])

    def __del__(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


class Service(Job):
    """The base class of a service: a job that runs until it is asked to stop, and is started again when it ends.

        class ChangeFeed(Service):
            def start(self):
                while not self.wait(60):
                    fetch(self.data["url"])

        scheduler.start_service(ChangeFeed, {"url": "https://example.com/feed"})

    When it is asked to stop, `stopping` becomes true and `wait`, `receive` and `messages` return at once. If it still
    runs `stop_soft` seconds later, JobInterrupted is raised in it; after `stop_hard` it is killed.
    """

    name = SERVICE
    _is_service = True
    _request: StopRequest | None = None

    @property
    def stopping(self) -> bool:
        """Whether the service was asked to stop."""
        return bool(self._stop_request)

    def wait(self, seconds: Seconds | None = None) -> bool:
        """Waits so many seconds, or for ever; returns True as soon as the service is asked to stop, else False."""
        deadline = Deadline(waiting_time(seconds, "seconds"))
        while not self._stop_request.wait(deadline.left(_FOREVER)):
            if deadline.passed:
                return False
        return True

    def send(self, value: Any) -> None:
        """Sends a value, anything that BSON can hold, to the first who calls `receive` on a scheduler.

        Raises InvalidDataError or PayloadTooLargeError.
        """
        self.scheduler.service_messages.send_from(self.id, value)

    def receive(self, timeout: Seconds | None = None, default: Any = None) -> Any:
        """Returns the oldest value that was sent to this service; waits for one up to `timeout` seconds.

        Returns `default` if none came in time, or the service was asked to stop. Each value is received once.
        """
        return self.scheduler.service_messages.receive_at(
            self.id, Deadline(waiting_time(timeout)), default, self._stop_request.wait
        )

    def messages(self) -> Iterator[Any]:
        """Yields the values that are sent to this service, until it is asked to stop."""
        while not self.stopping:
            value = self.receive(default=_NOTHING)
            if value is not _NOTHING:
                yield value

    @property
    def _stop_request(self) -> StopRequest:
        """The request that the worker sets; outside of a worker one that nobody sets."""
        if self._request is None:
            request = getattr(self._runtime, "stop_request", None)
            self._request = StopRequest() if request is None else request
        return self._request
