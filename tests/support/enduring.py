"""Jobs that stay: in the memory of their worker, silent, or for ever."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from typing import Any

from taskscheduler import Job, Service
from taskscheduler.jobs.executor import JobInterrupted
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


class Chronicle(Service):
    """Traces its life, every 20 ms: `word attempt pid time`. The data say how it ends and what it does when asked."""

    name = "chronicle"

    def start(self) -> Any:
        self._note("begin")
        try:
            return self._live()
        except JobInterrupted:
            self._note("interrupted")
            if self.data.get("stubborn"):
                while True:
                    threading.Event().wait(0.02)
                    self._note("beat")
            raise
        finally:
            self._note("end")

    def _live(self) -> Any:
        lives = self.data.get("lives", 1e9)
        deadline = time.monotonic() + lives
        while time.monotonic() < deadline:
            self._note("beat")
            if self.data.get("deaf"):
                threading.Event().wait(0.02)
            elif self.wait(0.02):
                time.sleep(self.data.get("tidies", 0))
                return "asked"
        if self.data.get("fails"):
            raise ValueError("as told")
        return "returned"

    def _note(self, word: str) -> None:
        trace(self.data["trace"], word, self.attempt, os.getpid(), time.monotonic())


class Loner(Job):
    """Solo, and traces its start."""

    name, solo = "loner", True

    def start(self) -> None:
        trace(self.data["trace"], "begin", self.attempt, os.getpid(), time.monotonic())


class Parrot(Service):
    """Sends back what it gets, with its attempt."""

    name = "parrot"

    def start(self) -> None:
        for value in self.messages():
            self.send({"heard": value, "attempt": self.attempt})


class AsyncPatient(Service):
    """Traces its start, and that it was asked to stop."""

    name = "async_patient"

    async def start(self) -> None:
        trace(self.data["trace"], "begin", self.attempt, os.getpid())
        while not self.stopping:
            await asyncio.sleep(0.02)
        trace(self.data["trace"], "asked", self.attempt, os.getpid())
