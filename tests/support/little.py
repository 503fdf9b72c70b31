"""A module with one job: a node that has only this one knows no other."""

from __future__ import annotations

from taskscheduler import Job


class Little(Job):
    """Does nothing."""

    name = "little"

    def start(self) -> None:
        pass
