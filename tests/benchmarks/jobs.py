"""The jobs that the benchmarks run: they only note that they ran."""

from __future__ import annotations

import os
import struct
import time

from taskscheduler import Job
from tests.benchmarks.stamps import stamp


class Stamp(Job):
    """Notes that it runs; no result."""

    name = "bench-stamp"

    def start(self) -> None:
        stamp()


class Urgent(Job):
    """Notes how long after the time in its data it began, in a file of its process in a folder."""

    name = "bench-urgent"

    def start(self) -> None:
        began = time.monotonic()
        with open(os.path.join(self.data["folder"], str(os.getpid())), "ab", buffering=0) as file:
            file.write(struct.pack("d", began - self.data["asked"]))
