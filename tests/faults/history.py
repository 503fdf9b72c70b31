"""What every process of a run writes down: JSON lines, one file a process, each line one write.

A line that was written survives the SIGKILL of its writer. `t` is CLOCK_MONOTONIC, which all processes of a host share.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]

DIRECTORY = "TASKSCHEDULER_FAULTS_HISTORY"  #: the environment variable that tells children where to write


class History:
    """Appends events to a file of this process, also after a fork."""

    def __init__(self, directory: Path | str) -> None:
        self._directory = Path(directory)
        self._pid = 0
        self._file = -1

    def write(self, what: str, **facts: Any) -> None:
        """Note that `what` happened just now."""
        line = json.dumps({"what": what, "t": time.monotonic(), "pid": os.getpid(), **facts}, default=str)
        if os.getpid() != self._pid:
            self._open()
        os.write(self._file, line.encode() + b"\n")

    def _open(self) -> None:
        pid = os.getpid()
        path = self._directory / f"{pid}-{time.monotonic_ns()}.jsonl"  # pids are used again
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._pid = pid  # now that other threads may write, too


def of_environment() -> History:
    """The history that the process which started this one asked for."""
    return History(os.environ[DIRECTORY])


def read(directory: Path, pid: int | None = None) -> list[Event]:
    """All events of all processes, or of one, in the order of time; a last line that was cut off is left out."""
    paths = directory.glob("*.jsonl" if pid is None else f"{pid}-*.jsonl")
    return sorted((event for path in paths for event in _events(path)), key=lambda one: one["t"])


def _events(path: Path) -> Iterator[Event]:
    for line in path.read_text(errors="replace").split("\n")[:-1]:
        yield json.loads(line)
