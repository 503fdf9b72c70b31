"""What a job module opens while it is imported, and a job that uses it beside a file of its own."""

from __future__ import annotations

import atexit
import logging
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from taskscheduler import Job

PLACE = Path(os.environ["OPENED_PLACE"])

log = logging.getLogger("opened")
log.addHandler(logging.FileHandler(PLACE / "log"))
log.propagate = False

scratch = tempfile.TemporaryFile(dir=PLACE)  # noqa: SIM115  # open as long as the module
atexit.register(scratch.close)
reader, writer = os.pipe()
database = sqlite3.connect(PLACE / "numbers", isolation_level=None)
database.execute("CREATE TABLE IF NOT EXISTS numbers (number INTEGER)")


def descriptors() -> dict[int, tuple[int, int]]:
    """What is open now, by number: device and inode of each."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            facts = os.fstat(int(name))
        except OSError:
            continue  # the one that listed the directory
        found[int(name)] = (facts.st_dev, facts.st_ino)
    return found


AT_IMPORT = descriptors()


class UsesOpened(Job):
    """Writes in turn to a file of its own and to all that was open before; returns what it then reads."""

    name = "uses_opened"

    def start(self) -> dict[str, Any]:
        self.scheduler.get_job(self.id)  # over a connection that is opened now
        with (PLACE / f"out-{self.id}").open("w") as out:
            out.write("a,b\n")
            out.flush()
            log.warning("a line of %s", self.id)
            os.pwrite(scratch.fileno(), b"scratch", 0)
            os.write(writer, b"pipe")
            database.execute("INSERT INTO numbers VALUES (1)")
            out.write("1,2\n")
        self.scheduler.get_job(self.id)
        return {
            "out": (PLACE / f"out-{self.id}").read_text(),
            "scratch": os.pread(scratch.fileno(), 100, 0).decode(),
            "pipe": os.read(reader, 100).decode(),
        }


class OpenHere(Job):
    """Returns what its worker has open, as the names that the kernel gives."""

    name = "open_here"

    def start(self) -> list[str]:
        return [os.readlink(f"/proc/self/fd/{number}") for number in descriptors() if number > 2]
