"""Jobs that use CPU time and memory, as their data say, and end in several ways."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import Any

from taskscheduler import Job, job
from tests.support.jobs import trace

MIB = 1024 * 1024
_BURN = "import sys, time\nwhile time.process_time() < float(sys.argv[1]): pass"


def burn(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


class Spends(Job):
    """Burns so many seconds of CPU and so many MiB, in its own process or in a `program`, then ends."""

    name = "spends"

    def start(self) -> Any:
        cpu, memory = self.data.get("cpu", 0), self.data.get("memory", 0)
        held = b"x" * (memory * MIB)
        if self.data.get("program"):
            subprocess.run([sys.executable, "-S", "-c", _BURN, str(cpu)], check=True)
        else:
            burn(cpu)
        if self.data.get("trace"):
            trace(self.data["trace"], self.id, os.getpid())
        if self.data.get("kills"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.data.get("lasts"):
            time.sleep(3600)
        if self.data.get("fails"):
            raise ValueError(len(held))


@job(name="spends_async")
async def spends_async(cpu: float) -> None:
    """Burns so many seconds of CPU beside others."""
    await asyncio.sleep(0.05)
    burn(cpu)
    await asyncio.sleep(0.05)


class SpendsAndCommits(Job):
    """Burns so many seconds of CPU, then ends by a commit."""

    name = "spends_and_commits"

    def start(self) -> None:
        burn(self.data)
        with self.commit():
            pass


class SpendsAndCommitsAsync(Job):
    """The same in an event loop."""

    name = "spends_and_commits_async"

    async def start(self) -> None:
        burn(self.data)
        async with self.commit():
            pass


class SpendsTogether(Job):
    """Burns CPU for all jobs of a batch, the last of which fails."""

    name = "spends_together"
    batch, batch_wait = 4, 5.0

    def start(self, items: list[Any]) -> None:
        burn(0.2)
        self.fail_item(len(items) - 1, "the last")
