"""Jobs that fork, and whose forks end in every way; the job returns how."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from taskscheduler import Job, Outcome
from tests.support.jobs import trace


class UnspeakableError(Exception):
    """Its text cannot be made."""

    def __str__(self) -> str:
        raise SystemExit(9)


def leave(how: str) -> Any:
    """Ends a fork."""
    if how == "returns":
        return "from the fork"
    if how == "waits":
        threading.Event().wait()
    ends: dict[str, BaseException] = {
        "raises": ValueError("in the fork"),
        "unspeakable": UnspeakableError(),
        "interrupt": KeyboardInterrupt(),
        "exit": SystemExit(),
        "exit 5": SystemExit(5),
        "exit text": SystemExit("gone"),
    }
    raise ends[how]


def ended(child: int, how: str) -> int:
    """How a fork ended, as subprocess says it; one that waits is terminated."""
    if how == "waits":
        os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Forking(Job):
    """Forks in `start`."""

    name = "forking"

    def start(self) -> Any:
        child = os.fork()
        return leave(self.data) if child == 0 else ended(child, self.data)


class ForkingAsync(Job):
    """The same in an event loop."""

    name = "forking_async"

    async def start(self) -> Any:
        child = os.fork()
        return leave(self.data) if child == 0 else ended(child, self.data)


class ForkingSetUp(Job):
    """Forks before `start`, and cleans up only once."""

    name = "forking_set_up"
    code: int

    def set_up(self) -> None:
        child = os.fork()
        if child == 0:
            leave(self.data)
            sys.exit(0)
        self.code = ended(child, self.data)

    def start(self) -> int:
        return self.code

    def tear_down(self, outcome: Outcome) -> None:
        """Must not run in the fork: it has no code."""
        assert self.code is not None


class ForkingTearDown(Job):
    """Forks after `start`, and traces how the fork ended."""

    name = "forking_tear_down"

    def start(self) -> None: ...

    def tear_down(self, outcome: Outcome) -> None:
        child = os.fork()
        if child == 0:
            leave(self.data["how"])
        else:
            trace(self.data["trace"], ended(child, self.data["how"]))
