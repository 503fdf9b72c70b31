"""What users write for something that always runs: the base class `Service`."""

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
    """Whether a service was asked to stop. A pipe, since a signal handler may set it while somebody waits for it."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._asked = False

    def __bool__(self) -> bool:
        return self._asked

    def ask(self) -> None:
        """From now on, and for ever."""
        self._asked = True
        os.write(self._writer, b"\0")

    def wait(self, seconds: float) -> bool:
        """Wait until asked, at most so many seconds; whether it was."""
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

    When it is asked to stop, `stopping` becomes true and `wait`, `receive` and `messages` come back at once. Whoever
    still runs `stop_soft` seconds later gets a JobInterrupted, and is killed after `stop_hard`.
    """

    name = SERVICE
    _is_service = True
    _request: StopRequest | None = None

    @property
    def stopping(self) -> bool:
        """Whether the service was asked to stop."""
        return bool(self._stop_request)

    def wait(self, seconds: Seconds | None = None) -> bool:
        """Wait so many seconds, or for ever, or until the service is asked to stop: True."""
        deadline = Deadline(waiting_time(seconds, "seconds"))
        while not self._stop_request.wait(deadline.left(_FOREVER)):
            if deadline.passed:
                return False
        return True

    def send(self, value: Any) -> None:
        """Send a value, anything that BSON can hold, to whoever calls `receive` on the scheduler or the process.

        Raises InvalidDataError or PayloadTooLargeError.
        """
        self.scheduler.service_messages.send_from(self.id, value)

    def receive(self, timeout: Seconds | None = None, default: Any = None) -> Any:
        """The oldest value that was sent to this service, waiting for one as long as `timeout` seconds.

        `default` if none came in time, or the service was asked to stop. Each value is received once.
        """
        return self.scheduler.service_messages.receive_at(
            self.id, Deadline(waiting_time(timeout)), default, self._stop_request.wait
        )

    def messages(self) -> Iterator[Any]:
        """What is sent to this service, until it is asked to stop."""
        while not self.stopping:
            value = self.receive(default=_NOTHING)
            if value is not _NOTHING:
                yield value

    @property
    def _stop_request(self) -> StopRequest:
        """That of the worker; outside of one, a service that nobody can ask."""
        if self._request is None:
            request = getattr(self._runtime, "stop_request", None)
            self._request = StopRequest() if request is None else request
        return self._request
