"""Jobs that use up what a worker may use: memory, CPU time, open files, processes."""

from __future__ import annotations

import mmap
import os
import resource
import tempfile
import threading
import time
from typing import Any

from taskscheduler import Job, Process, Status
from tests.support.jobs import trace

KINDS = {
    "memory": resource.RLIMIT_DATA,
    "cpu": resource.RLIMIT_CPU,
    "files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
    "core": resource.RLIMIT_CORE,
}

hoard: list[Any] = [()]  #: what a job does not let go of


class Limits(Job):
    """The limits that hold in a job, soft and hard, and its process."""

    name = "limits"

    def start(self) -> Any:
        return {"pid": os.getpid(), **{name: list(resource.getrlimit(kind)) for name, kind in KINDS.items()}}


class Allocate(Job):
    """Takes so many bytes at once."""

    name = "allocate"

    def start(self) -> int:
        return len(bytearray(self.data))


class Hoard(Job):
    """Takes memory by the bucket, then by the spoonful, until not a drop is left, and keeps it."""

    name = "hoard"

    def start(self) -> None:
        for size in (10**6, 10**4, 1000, 100, 1):
            try:
                while True:
                    hoard[0] = (bytes(size), hoard[0])
            except MemoryError:
                pass
        raise MemoryError("not a drop is left")


class Map(Job):
    """Maps a file of so many bytes, and makes as many that could be shared."""

    name = "map"

    def start(self) -> int:
        with tempfile.TemporaryFile() as file:
            file.truncate(self.data)
            with mmap.mmap(file.fileno(), self.data, access=mmap.ACCESS_READ) as mapped, mmap.mmap(-1, self.data):
                return mapped[-1]


class Burn(Job):
    """Uses so many CPU seconds in Python code; cleans up when it is stopped."""

    name = "burn"

    def start(self) -> int:
        try:
            until = time.process_time() + self.data["seconds"]
            while time.process_time() < until:
                pass
        finally:
            if "trace" in self.data:
                trace(self.data["trace"], "cleaned up")
        return os.getpid()


class Deaf(Job):
    """Burns CPU time and takes no for no answer."""

    name = "deaf"

    def start(self) -> None:
        while True:
            try:
                sum(range(10**7))
            except BaseException as error:
                trace(self.data, type(error).__name__)

    def notification(self, status: Status, process: Process) -> None:
        trace(self.data, "notified", status)


class Idle(Job):
    """Lets time pass without using any CPU."""

    name = "idle"

    def start(self) -> str:
        threading.Event().wait(self.data)
        return "rested"


class Open(Job):
    """Opens files until there are no more, and keeps them."""

    name = "open"

    def start(self) -> int:
        while len(hoard) <= self.data:
            hoard.append(open(os.devnull))  # noqa: SIM115
        return len(hoard)


class Fork(Job):
    """Starts a process as an ordinary user: nothing limits how many root may have."""

    name = "fork"

    def start(self) -> str:
        if os.getuid() == 0:
            os.setuid(65534)
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        return "forked"
