"""Jobs for tests; the data says what they do and where they leave a trace."""

from __future__ import annotations

import builtins
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bson import Binary, ObjectId

from taskscheduler import CURRENT_JOB, Discard, Job, Process, Retry, Status, job
from taskscheduler.embedded import acquire


def trace(path: str, *words: Any) -> None:
    """Append one line to a file in one write."""
    with open(path, "ab", buffering=0) as file:
        file.write((" ".join(map(str, words)) + "\n").encode())


def traces(path: str | Path) -> list[list[str]]:
    """The words of all lines that were traced."""
    try:
        return [line.split() for line in Path(path).read_text().splitlines()]
    except FileNotFoundError:
        return []


class Noop(Job):
    name = "noop"

    def start(self) -> None:
        return None


class Echo(Job):
    name = "echo"

    def start(self) -> Any:
        return {"data": self.data, "id": self.id, "attempt": self.attempt, "pid": os.getpid()}


class UseEmbedded(Job):
    """Uses the embedded server of a state directory until its worker ends."""

    name = "use_embedded"

    def start(self) -> Any:
        server = acquire(Path(self.data), timeout=40)
        return {"mongod": server.address.mongod_pid, "worker": os.getpid()}


class Trace(Job):
    """Leaves `id attempt pid` in the file that the data names."""

    name = "trace"

    def start(self) -> None:
        trace(self.data, self.id, self.attempt, os.getpid())


class Fail(Job):
    name = "fail"

    def start(self) -> None:
        raise ValueError(self.data or "it went wrong")


class Flaky(Job):
    """Fails until its attempt reaches the number in the data."""

    name = "flaky"

    def start(self) -> int:
        if self.attempt < self.data:
            raise RuntimeError(f"attempt {self.attempt}")
        return self.attempt


class Snoozes(Job):
    """Puts itself off as often as the data says."""

    name = "snoozes"

    def start(self) -> int:
        if self.attempt <= self.data:
            self.snooze(0, reason="not yet")
        return self.attempt


@job(name="snoozes_function")
def snoozes(times: int, *, job: Job) -> int:
    """The same."""
    if job.attempt <= times:
        job.snooze(0)
    return job.attempt


@job(name="async_snoozes")
async def async_snoozes(times: int, *, job: Job) -> int:
    """The same beside others."""
    if job.attempt <= times:
        job.snooze(0)
    return job.attempt


class Chooses(Job):
    """Raises what the data names; its class says what is tried again."""

    name = "chooses"
    retry_on = (OSError,)
    discard_on = (FileNotFoundError,)

    def start(self) -> None:
        asked = {"Retry": Retry("busy", after=0), "RetryLater": Retry(after=60), "Discard": Discard("no use")}
        raise asked.get(self.data) or getattr(builtins, self.data)("as the data says")


class SystemExits(Job):
    name = "system_exit"

    def start(self) -> None:
        sys.exit(4)


class Exits(Job):
    """Ends its process behind everybody's back."""

    name = "os_exit"

    def start(self) -> None:
        os._exit(3)


class Segfaults(Job):
    name = "segfault"

    def start(self) -> None:
        ctypes.string_at(0)


class Wait(Job):
    """Traces its start, then waits until the file `until` exists, at most `seconds`."""

    name = "wait"

    def start(self) -> str:
        if "trace" in self.data:
            trace(self.data["trace"], self.id, self.attempt, os.getpid())
        deadline = time.monotonic() + self.data.get("seconds", 60)
        pause = threading.Event()
        while time.monotonic() < deadline:
            if "until" in self.data and os.path.exists(self.data["until"]):
                return "told"
            pause.wait(0.01)
        return "waited"


class Spin(Job):
    """Never leaves C code."""

    name = "spin"

    def start(self) -> int:
        trace(self.data, self.id, self.attempt, os.getpid())
        return sum(range(10**11))


class Stubborn(Job):
    """Blocks SIGTERM."""

    name = "stubborn"

    def start(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        trace(self.data, self.id, self.attempt, os.getpid())
        while True:
            signal.pause()


class Parental(Job):
    """Leaves a grandchild in a session of its own."""

    name = "setsid"

    def start(self) -> None:
        child = subprocess.Popen(["setsid", "sleep", "1000"])
        orphan = subprocess.check_output(["sh", "-c", "setsid sleep 1000 >/dev/null & echo $!"], text=True)
        trace(self.data, self.id, self.attempt, os.getpid(), child.pid, orphan.strip())
        while True:
            signal.pause()


class Progress(Job):
    """Reports the values in the data one after the other, then waits for the file `until`."""

    name = "progress"

    def start(self) -> None:
        for value in self.data["values"]:
            self.update_progress(value, message=f"at {value}")
        pause = threading.Event()
        while "until" in self.data and not os.path.exists(self.data["until"]):
            pause.wait(0.01)


class Hooked(Job):
    """Traces its notification; fails if the data says so."""

    name = "hooked"

    def start(self) -> None:
        if self.data.get("fail"):
            raise ValueError("as told")

    def notification(self, status: Status, process: Process) -> None:
        trace(self.data["trace"], process.id, status)


class UsesScheduler(Job):
    name = "uses_scheduler"

    def start(self) -> ObjectId:
        return self.scheduler.add_job(Noop).id


class Large(Job):
    """Returns as many bytes as the data says."""

    name = "large"

    def start(self) -> bytes:
        return bytes(self.data)


class Unstorable(Job):
    name = "unstorable"

    def start(self) -> object:
        return object()


class Undecodable(Job):
    """Returns what BSON holds and nobody can read back."""

    name = "undecodable"

    def start(self) -> Any:
        self.update_progress(50.0)
        return {"uuid": Binary(b"no uuid", 4)}


@job(name="sum")
def add_up(a: int, b: int = 0, *, job: Job = CURRENT_JOB) -> dict[str, Any]:
    return {"sum": a + b, "attempt": job.attempt}


class Told(Job):
    """Returns which run of a schedule it is."""

    name = "told"

    def start(self) -> Any:
        return [self.schedule, self.scheduled_at]
