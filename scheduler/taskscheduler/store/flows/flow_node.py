"""What the end of a job asks the node on which it has ended, so that the next jobs of its flow begin at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from bson import ObjectId

from taskscheduler.model.document import Document


class FlowNode(Protocol):
    """A node on which jobs of flows run and end."""

    def still_runs(self, joins: Collection[ObjectId], /) -> set[ObjectId]:
        """Returns those of these joins of which a job runs there, so that it is too early to ask whether they are done.

        Only for joins that fail with any of their jobs: whoever cancels that job deals with what comes after it.
        """
        ...

    def take(self, jobs: Sequence[Document]) -> list[Document]:
        """Takes jobs to claim them out of the lists of their joins; returns those that it leaves to be released.

        Their joins are complete, and they wait for nothing else.
        """
        ...


class _NoNode:
    """Stands for whoever ends a job elsewhere."""

    def still_runs(self, _joins: Collection[ObjectId], /) -> set[ObjectId]:
        return set()

    def take(self, jobs: Sequence[Document]) -> list[Document]:
        return list(jobs)


NO_NODE = _NoNode()
