"""A module that nobody may import: it leaves a trace when somebody does."""

from __future__ import annotations

import os

from taskscheduler import Job
from tests.support.jobs import trace

trace(os.environ["TRAP"], "imported", os.getpid())


class Trap(Job):
    """Can be imported, is named by a job in the database, and is registered nowhere."""

    def start(self) -> str:
        return "trapped"
