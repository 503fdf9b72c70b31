"""Jobs that run in batches. The data of each: where it leaves a trace, and what befalls it or its batch."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from taskscheduler import Discard, Job, Process, Retry, Status, job
from tests.support.jobs import trace


class Gather(Job):
    """Ten at a time. `do`: fail, retry, discard, result, raise, kill, hang; `until`: a file that it waits for."""

    name = "gather"
    batch = 10
    retry_interval = 0.0

    def start(self, items: list[dict[str, Any]]) -> Any:
        """Trace the batch and each of its items; return the number of each item that asks for it."""
        trace(items[0]["trace"], "batch", len(items), os.getpid(), self.attempt)
        for job_id, item in zip(self.ids, items, strict=True):
            trace(item["trace"], "item", job_id, item.get("n"))
        for number, item in enumerate(items):
            self.befall(number, item.get("do"))
        while (until := items[0].get("until")) and not Path(until).exists():
            time.sleep(0.02)
        trace(items[0]["trace"], "end", len(items))
        return [item.get("n") if item.get("do") == "result" else None for item in items]

    def befall(self, number: int, what: str | None) -> None:
        if what == "fail" or (what == "fail_once" and self.attempt == 1):
            self.fail_item(number, "this one is bad")
        elif what == "discard":
            self.fail_item(number, Discard("never again"))
        elif what == "retry":
            self.fail_item(number, Retry("later", after=0))
        elif what == "raise":
            raise OSError("all of it")
        elif what == "kill" and self.attempt == 1 and len(self.ids) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "progress":
            self.update_progress(50, "half of it")
        elif what == "snooze":
            self.snooze(3600, reason="not now")


class SlowGather(Gather):
    """The same, and the first one waits half a second for others."""

    name = "slow_gather"
    batch_wait = 0.5


class LongGather(Gather):
    """The same, and the first one waits so long that no test does."""

    name = "long_gather"
    batch_wait = 60


class WrongResults(Job):
    """Returns what its first item says."""

    name = "wrong_results"
    batch = 10

    def start(self, items: list[Any]) -> Any:
        return items[0]


class AsyncGather(Job):
    """The same as a coroutine."""

    name = "async_gather"
    batch = 10

    async def start(self, items: list[dict[str, Any]]) -> Any:
        trace(items[0]["trace"], "batch", len(items), os.getpid(), self.attempt)
        for number, item in enumerate(items):
            if item.get("do") == "fail":
                self.fail_item(number, "this one is bad")
        while (until := items[0].get("until")) and not Path(until).exists():
            await asyncio.sleep(0.02)
        return [item["n"] for item in items]


class Misused(Job):
    """Uses what belongs to one job."""

    name = "misused"
    batch = 10

    def start(self, items: list[str]) -> Any:
        found = []
        for what in items:
            try:
                found.append(
                    str(
                        {
                            "step": self.use_step,
                            "sleep": self.use_sleep,
                            "wait": self.use_wait,
                            "commit": self.commit,
                            "flow": self.use_flow,
                        }[what]()
                    )
                )
            except Exception as error:
                found.append(f"{type(error).__name__}: {error}")
        return found

    def use_step(self) -> Any:
        return self.step("one", int)

    def use_sleep(self) -> Any:
        return self.sleep(5)

    def use_wait(self) -> Any:
        return self.wait_for("it")

    def use_flow(self) -> Any:
        return self.flow


class ToldTogether(Job):
    """Has a notification, and cleans up."""

    name = "told_together"
    batch = 10

    def start(self, items: list[dict[str, Any]]) -> None:
        for number, item in enumerate(items):
            if item.get("do") == "fail":
                self.fail_item(number, ValueError("no"))
        self.first = items[0]

    def tear_down(self, outcome: Any) -> None:
        trace(self.first["trace"], "tear_down", outcome.status.label)
        if self.first.get("do") == "tear_down":
            raise OSError("not cleaned up")

    def notification(self, status: Status, process: Process) -> None:
        trace(self.data["trace"], "told", process.id, status.label)


@job(name="add_up", batch=100)
def add_up(items: list[int]) -> list[int]:
    """Doubles numbers, many at a time."""
    return [2 * number for number in items]


@job(name="async_add_up", batch=100)
async def async_add_up(items: list[int], *, job: Job) -> list[Any]:
    """The same as a coroutine function."""
    return [{"double": 2 * number, "of": len(job.ids)} for number in items]


class Mirror(Job):
    """Returns what it was given."""

    name = "mirror_batch"
    batch = 100
    batch_wait = 3.0  # so that it gathers all that fit, also on a busy machine

    def start(self, items: list[Any]) -> list[Any]:
        return list(items)


_CALL = 0.005  #: seconds of a call of something else, however much it is about


class Calls(Job):
    """Calls something else for its item."""

    name = "calls"

    def start(self) -> None:
        time.sleep(_CALL)


class CallsTogether(Job):
    """Calls it once for a hundred items."""

    name = "calls_together"
    batch = 100

    def start(self, items: list[Any]) -> None:
        time.sleep(_CALL)
