"""UrgentClaims: claims jobs of a higher priority than those that this node has claimed ahead.

While there is a backlog, a node searches for jobs only when it has room for many. An urgent job would wait for the next
search, behind the claim of hundreds of others and behind what was claimed before. So its message names it, and the node
claims a few such jobs beyond its room; its manager runs them next.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence

from bson import ObjectId

from taskscheduler.model.control.urgency import UrgentJob
from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.node.claiming.finder import JobFinder
from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.claiming.pipeline import ClaimPipeline
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.state.capacity import Capacity

logger = logging.getLogger(__name__)

_REMEMBERED = 100


class UrgentClaims:
    """Claims urgent jobs beyond the room. Safe to use from many threads, which wait for each other."""

    def __init__(
        self, finder: JobFinder, capacity: Capacity, pipeline: ClaimPipeline, search: Search, partition: Partition
    ) -> None:
        """`pipeline` is that of the claimer."""
        self._finder = finder
        self._capacity = capacity
        self._places = capacity.urgent
        self._pipeline = pipeline.beside()
        self._search = search
        self._partition = partition
        self._lock = threading.Lock()
        self._stopped = False
        self._is_uncertain = False  #: whether the answer to a claim was lost
        self._got: deque[ObjectId] = deque(maxlen=_REMEMBERED)  #: while they were being stored: they are named again

    def stop(self) -> None:
        """Claims nothing more; returns when no claim is under way."""
        with self._lock:
            self._stopped = True
            self._pipeline.stop()

    def heard(self, jobs: Sequence[UrgentJob]) -> None:
        """Claims those of these jobs that this node is to run before all that it has claimed ahead.

        What it does not claim is found by the next search of any node.
        """
        with self._lock:
            if self._stopped or self._is_uncertain:
                return
            try:
                self._claim(self._chosen(jobs))
            except StoreError as error:
                logger.warning("claiming urgent jobs failed", extra={"reason": str(error)[:200]})
                self._is_uncertain = True
                self._search.look_everywhere()
                self._search.wake.set()

    def settle(self) -> None:
        """Releases what a claim has got whose answer was lost. Called by the claimer. Raises StoreError."""
        if self._is_uncertain:
            with self._lock:
                self._pipeline.release_abandoned()
                self._is_uncertain = False

    def _chosen(self, jobs: Sequence[UrgentJob]) -> list[UrgentJob]:
        """Returns those of these jobs to claim, as many as there are places, in claim order."""
        places = self._places.free(self._capacity.slots)
        if not places or self._finder.is_paused:
            return []
        ours = sorted((job for job in jobs if self._is_ours(job)), key=lambda job: -job.priority)
        if len(ours) > places:
            self._search.behind.left(ours[places].priority)
        return ours[:places]

    def _is_ours(self, job: UrgentJob) -> bool:
        if job.job_id in self._got:
            self._got.remove(job.job_id)
            return False
        if not self._search.behind.is_passed_by(job.priority) or self._places.holds(job.job_id):
            return False
        served = self._search.served
        return (not served or job.queue in served) and self._partition.is_for_us(job.job_id, job.queue)

    def _claim(self, jobs: Sequence[UrgentJob]) -> None:
        if not jobs:
            return
        ids = [job.job_id for job in jobs]
        self._places.take(job_id.binary for job_id in ids)
        if len(ids) == 1:
            self._pipeline.claim_one(ids[0], self._finder.scope())
        else:
            self._pipeline.claim(ids, scope=self._finder.scope())
        claimed = self._pipeline.collect()
        if claimed.got == claimed.asked:
            self._got += [job.job_id for job in jobs if job.coming]
