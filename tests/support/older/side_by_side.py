"""Jobs that nodes of version 0.1.0 and of this one run, as a module of its own: it imports nothing of the tests."""

from __future__ import annotations

import time
from typing import Any

from taskscheduler import Job


def mark(path: str, *words: Any) -> None:
    """Appends one line to a file in one write."""
    with open(path, "ab", buffering=0) as file:
        file.write((" ".join(map(str, words)) + "\n").encode())


class Mark(Job):
    """Writes down when it begins and ends; the data say where, and how long it takes."""

    name = "mark"

    def start(self) -> None:
        mark(self.data["file"], "begin", self.id, time.monotonic())
        time.sleep(self.data.get("seconds", 0))
        mark(self.data["file"], "end", self.id, time.monotonic())


class Broken(Job):
    """Fails."""

    name = "broken"

    def start(self) -> None:
        raise ValueError("broken")
