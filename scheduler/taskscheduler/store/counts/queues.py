"""Reads the backlogs of queues, with few questions to the server, and few jobs looked at, however many wait."""

from __future__ import annotations

from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler.store.counts.by_key import CLAIM, KeyBacklogs, OddNameError
from taskscheduler.store.counts.keys import KeyCounts
from taskscheduler.store.counts.one_by_one import BacklogsOneByOne


def read_backlogs(jobs: Collection[Document], keys: KeyCounts) -> list[Backlog]:
    """Returns the backlogs of the first 50 queues by name. Raises the driver's errors.

    Of each it counts 200 jobs, and where there are more, CAP more of all these queues together, in equal parts.
    """
    if keys.holds(CLAIM, Status.WAITING):
        try:
            return KeyBacklogs(jobs, keys).first()
        except (OddNameError, OperationFailure):  # somebody has changed a job, or dropped the index
            pass
    return BacklogsOneByOne(jobs).first()
