"""Jobs that fail by one of three mistakes, each time with another message."""

from __future__ import annotations

from taskscheduler import Job, job


class Mistaken(Job):
    """By a number: two mistakes in one function; others succeed."""

    name = "mistaken"

    def start(self) -> None:
        if self.data % 3 == 0:
            raise ValueError(f"bad {self.data}")
        if self.data % 3 == 1:
            raise ValueError(f"worse {self.data}")


@job(name="mistaken-async")
async def mistaken(number: int) -> None:
    raise KeyError(number)
