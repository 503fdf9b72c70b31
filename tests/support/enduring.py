"""Jobs that stay: in the memory of their worker, silent, or for ever."""

from __future__ import annotations

import os
import subprocess
import threading
from typing import Any

from taskscheduler import Job
from tests.support.jobs import trace

kept: list[bytes] = []


class Keep(Job):
    """Keeps so many bytes for ever; gives its process."""

    name = "keep"

    def start(self) -> Any:
        kept.append(os.urandom(self.data))
        return os.getpid()


class Signs(Job):
    """Traces its start, then gives a sign of life `signs` times every `every` seconds; then says nothing at all."""

    name = "signs"

    def start(self) -> None:
        trace(self.data["trace"], self.id, self.attempt, os.getpid())
        child = subprocess.Popen(["sleep", "1000"])
        trace(self.data["trace"], self.id, self.attempt, child.pid)
        pause = threading.Event()
        for number in range(self.data["signs"]):
            pause.wait(self.data["every"])
            self.update_progress(message=f"sign {number}")
        if self.data.get("return"):
            child.kill()
            child.wait()
            return
        while True:
            pause.wait(60)
