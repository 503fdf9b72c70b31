"""A job that takes as long as its data say, and notes on which worker and when it ran."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from taskscheduler import Job
from tests.support.jobs import trace


class Timed(Job):
    """Traces `worker seconds added started ended`."""

    name = "timed"

    def start(self) -> None:
        data: dict[str, Any] = self.data
        started = time.monotonic()
        threading.Event().wait(data["seconds"])
        trace(data["trace"], os.getpid(), data["seconds"], data["added"], started, time.monotonic())
