"""Jobs that raise what hardly can be stored, in every part of them."""

from __future__ import annotations

import asyncio
import sys
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


def close_streams() -> None:
    """Closes the streams that this process logs to, and prints."""
    for stream in (sys.stdout, sys.stderr):
        stream.close()


class Mute(Job):
    """Closes the standard streams in the parts of the data, and prints in each part."""

    name = "mute"

    def start(self) -> None:
        speak("start", self.data)

    def tear_down(self, outcome: Outcome) -> None:
        speak("tear_down", self.data)

    def notification(self, status: Status, process: Process) -> None:
        speak("notification", self.data)


class MuteAsync(Job):
    """The same in an event loop, where a task of it stops the loop as well."""

    name = "mute_async"

    async def start(self) -> None:
        asyncio.get_running_loop().call_later(0.05, asyncio.get_running_loop().stop)
        await asyncio.sleep(0)
        if "start" in self.data:
            close_streams()
            await asyncio.sleep(0.2)
        sys.stdout.write("start")

    async def tear_down(self, outcome: Outcome) -> None:
        speak("tear_down", self.data)

    async def notification(self, status: Status, process: Process) -> None:
        speak("notification", self.data)


def speak(part: str, parts: list[str]) -> None:
    """Prints, after the streams are closed if this is one of the parts for that."""
    if part in parts:
        close_streams()
    sys.stdout.write(part)


@job(name="fine")
def fine() -> Any:
    """Ends well."""
    return "fine"
