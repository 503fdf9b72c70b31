"""Jobs of which somebody asks where they are."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from typing import Any

from taskscheduler import Job, Service, job
from tests.support.jobs import trace

LONG = 3600.0


class Wanders(Job):
    """Comes to a place that has a name, as its data say, after a trace."""

    name = "wanders"

    def start(self) -> None:
        beside = threading.Thread(target=self.beside, name="beside", daemon=True)
        beside.start()
        self.somewhere()

    def beside(self) -> None:
        threading.Event().wait(LONG)

    def somewhere(self) -> None:
        secret = "a value that nobody sees"
        trace(self.data["trace"], self.id, len(secret))
        getattr(self, self.data.get("how", "sleeps"))()

    def sleeps(self) -> None:
        time.sleep(LONG)

    def freezes(self) -> None:
        """In C code that does not look for signals."""
        sum(range(10**12))

    def refuses(self) -> None:
        """Takes away the handlers, so that a signal would end the process."""
        for number in range(signal.SIGRTMIN, signal.SIGRTMAX + 1):
            signal.signal(number, signal.SIG_DFL)
        time.sleep(LONG)

    def counts(self) -> None:
        """Goes on, and sees whether anything breaks into it."""
        until = time.monotonic() + 3
        for _ in range(30):
            time.sleep(0.1)
        assert time.monotonic() >= until - 0.01


@job(name="wanders_async")
async def wanders_async(data: dict[str, Any], *, job: Job) -> None:
    """The same beside others."""
    trace(data["trace"], job.id)
    await far_away()


async def far_away() -> None:
    await asyncio.sleep(LONG)


class Stays(Service):
    """A service."""

    name = "stays"

    def start(self) -> None:
        self.on_duty()

    def on_duty(self) -> None:
        self.wait()
