"""Jobs that raise what hardly can be stored, in every part of them."""

from __future__ import annotations

from typing import Any

from taskscheduler import Job, Outcome, Process, Status, job
from tests.support.jobs import trace
from tests.unit.model.test_exception_texts import ODD

NAMES = list(ODD)


def fail_in(part: str, data: dict[str, str]) -> None:
    """Raises the exception that the data name, if this is the part of the job for it."""
    if data["part"] == part:
        raise ODD[data["error"]]


class Odd(Job):
    """Raises this exception in this part."""

    name = "odd"

    def set_up(self) -> None:
        trace(self.data["trace"], self.data["error"])
        fail_in("set_up", self.data)

    def start(self) -> None:
        fail_in("start", self.data)

    def tear_down(self, outcome: Outcome) -> None:
        fail_in("tear_down", self.data)

    def notification(self, status: Status, process: Process) -> None:
        fail_in("notification", self.data)


class OddAsync(Job):
    """The same in an event loop."""

    name = "odd_async"

    async def set_up(self) -> None:
        trace(self.data["trace"], self.data["error"])
        fail_in("set_up", self.data)

    async def start(self) -> None:
        fail_in("start", self.data)

    async def tear_down(self, outcome: Outcome) -> None:
        fail_in("tear_down", self.data)

    async def notification(self, status: Status, process: Process) -> None:
        fail_in("notification", self.data)


@job(name="fine")
def fine() -> Any:
    """Ends well."""
    return "fine"
