"""Jobs that end processes which run others, and jobs that have nothing to do with it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from taskscheduler import Job
from tests.support.jobs import trace


def _node() -> int:
    """The pid of the node: the parent of the parent of this worker."""
    return int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])


class Works(Job):
    """Traces its start, then works for some seconds, or until the file `until` exists."""

    name = "works"

    def start(self) -> int:
        trace(self.data["trace"], self.id, self.attempt, os.getpid())
        deadline = time.monotonic() + self.data.get("seconds", 60)
        while time.monotonic() < deadline and not os.path.exists(self.data.get("until", "")):
            time.sleep(0.01)
        return self.attempt


class AsyncWorks(Job):
    """The same in an event loop."""

    name = "async_works"

    async def start(self) -> int:
        trace(self.data["trace"], self.id, self.attempt, os.getpid())
        deadline = time.monotonic() + self.data.get("seconds", 60)
        while time.monotonic() < deadline and not os.path.exists(self.data.get("until", "")):
            await asyncio.sleep(0.02)
        return self.attempt


class Kills(Job):
    """Ends its worker, its manager or its node, after a while in which others may begin."""

    name = "kills"

    def start(self) -> None:
        trace(self.data["trace"], self.id, self.attempt, os.getpid())
        time.sleep(self.data.get("after", 0))
        end(self.data["what"])
        time.sleep(60)


class AsyncKills(Job):
    """The same in an event loop."""

    name = "async_kills"

    async def start(self) -> None:
        trace(self.data["trace"], self.id, self.attempt, os.getpid())
        await asyncio.sleep(self.data.get("after", 0))
        end(self.data["what"])
        await asyncio.sleep(60)


def end(what: str) -> None:
    """Kills a process above this job, or its own; or stands still, with its event loop."""
    if what == "nothing":
        time.sleep(60)
    elif what == "worker":
        os._exit(1)
    else:
        os.kill(os.getppid() if what == "manager" else _node(), signal.SIGKILL)
