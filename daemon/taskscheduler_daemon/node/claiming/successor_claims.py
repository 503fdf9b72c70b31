"""SuccessorClaims: claims the next jobs of flows, as many as this node should, and releases the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from taskscheduler.clock import Clock
from taskscheduler.model.document import Document
from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.node.claiming.finder import JobFinder
from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.claiming.pipeline import ClaimPipeline
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.state.capacity import Capacity

logger = logging.getLogger(__name__)


class SuccessorClaims:
    """Claims what the successors of this node hold. Only the thread of the claimer calls it.

    Whatever is not claimed is released. If that fails, the jobs stay with the successors until the next call.
    """

    def __init__(
        self,
        finder: JobFinder,
        capacity: Capacity,
        pipeline: ClaimPipeline,
        search: Search,
        partition: Partition,
        clock: Clock,
    ) -> None:
        self._finder = finder
        self._successors = finder.successors
        self._capacity = capacity
        self._pipeline = pipeline
        self._search = search
        self._partition = partition
        self._clock = clock
        self._taken: list[Document] = []  #: since the last call

    def claim(self) -> None:
        """Claims jobs whose predecessors have ended here; releases those for which there is no room. StoreError."""
        self._taken = []
        try:
            while jobs := self._successors.pop():
                self._taken += jobs
                self._divide(jobs)
            self._pipeline.end()
        except BaseException:
            self._successors.give_back(self._taken)  # to be released: the next search begins everywhere
            raise

    def look_unheard(self, has_room: bool) -> None:
        """Has the next search look for jobs of which nobody hears while flows are fast, if it is time. StoreError.

        Without room there is no search, and until there is one no job of a flow is claimed here. So it has to be known
        that others wait.
        """
        if self._search.is_look_due() and (has_room or self._any_wait()):
            self._search.look_everywhere()

    def _any_wait(self) -> bool:
        """Whether jobs wait for a slot, or for the turn of their group, that this node may claim."""
        finder = self._finder
        queues = finder.queues() if finder.serves_all else self._search.served
        found = finder.candidates(queues, 1, None, but_async=False, but_forced=False) if queues else []
        return bool(found or finder.group_queues())

    def settle(self) -> None:
        """Releases what the last claims did not get, as far as it still waits. Raises StoreError."""
        if self._taken:
            self._do(self._successors.settle, self._taken)

    def release(self) -> None:
        """Releases all: this node claims nothing now. Raises StoreError."""
        self._do(self._successors.release, self._successors.pop())

    def _do(self, what: Callable[[Sequence[Document]], None], jobs: Sequence[Document]) -> None:
        try:
            what(jobs)
        except BaseException:
            self._successors.give_back(jobs)
            raise

    def close(self) -> None:
        """Takes no more jobs, and releases those that are left; what fails is left to the sweeps of other nodes."""
        try:
            self._successors.release(self._successors.close())
        except StoreError as error:
            logger.warning("jobs of flows not released yet", extra={"reason": str(error)[:200]})

    def _divide(self, jobs: Sequence[Document]) -> None:
        scope = self._finder.scope()
        mine = self._share([job for job in jobs if scope.admits(job["queue"], job["class"])])
        if mine:
            self._pipeline.begin_successors(mine, scope)
        self._search.followed(len(mine))
        ours = {job["_id"] for job in mine}
        self._successors.release([job for job in jobs if job["_id"] not in ours])

    def _share(self, jobs: Sequence[Document]) -> Sequence[Document]:
        """Returns the first ones of these jobs, as many as to claim here."""
        capacity, search = self._capacity, self._search
        if search.more or search.forced:
            return []  # others wait that may come first
        know_nodes(self._partition, self._finder, self._clock, len(jobs))
        share = self._partition.share(len(jobs), idle=capacity.slots - capacity.busy)
        return jobs[: min(share, capacity.wanted(self._pipeline.asked, are_known=True))]


def know_nodes(partition: Partition, finder: JobFinder, clock: Clock, jobs: int) -> float:
    """Reads the register of nodes now and then if there are jobs to be divided; returns the present time."""
    now = clock.monotonic()
    if jobs > 1 and partition.is_old(now):
        partition.know(finder.nodes(), now)
    return now
