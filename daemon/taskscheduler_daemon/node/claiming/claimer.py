"""Claimer: the thread that claims as many jobs as the manager can start soon."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.model.document import Document
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.claiming.pipeline import ClaimPipeline
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.system.threads import SessionThreads, join

logger = logging.getLogger(__name__)

_PAUSE_AFTER_ERROR = 0.5

_PAUSE_FOR_OTHERS = 0.02


class Claimer:
    """Finds waiting jobs and has the pipeline claim them, whenever there are some and there is room."""

    def __init__(
        self,
        store: Store,
        capacity: Capacity,
        pipeline: ClaimPipeline,
        search: Search,
        partition: Partition,
        clock: Clock,
        threads: SessionThreads,
    ) -> None:
        self._store = store
        self._capacity = capacity
        self._pipeline = pipeline
        self._search = search
        self._partition = partition
        self._clock = clock
        self._threads = threads
        self._queues = search.served
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._async_left = False  #: whether async jobs may wait for which there was no room
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._thread = self._threads.start("claim", self._loop)

    def look_everywhere(self) -> None:
        """Searches all queues soon: jobs may wait there that no message has announced."""
        self._search.look_everywhere()
        self._wake.set()

    def hint(self, ids: Sequence[ObjectId], queues: Sequence[str], forced: bool, later: bool) -> None:
        """Claims these added jobs soon, if their queues are served here."""
        if self._search.hint(ids, queues, forced, later):
            self._wake.set()

    def slots_free(self) -> None:
        """Searches soon if the last search left jobs behind and there is room for them now."""
        if self._wake.is_set():
            return
        capacity = self._capacity
        if (self._search.more and capacity.room()) or (self._async_left and capacity.async_room()):
            self._wake.set()

    def stop(self) -> None:
        """Claims nothing more; returns when no claim is under way."""
        self._stopped.set()
        self._wake.set()
        join(self._thread)
        self._pipeline.stop()

    def _loop(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait()
            self._wake.clear()
            if self._stopped.is_set():
                return
            try:
                self._look()
            except StoreError as error:
                logger.warning("claiming failed", extra={"reason": str(error)[:200]})
                self._pause()
            except Exception:  # what a search meets in the database must not stop the jobs that run
                logger.exception("claiming failed unexpectedly")
                self._pause()

    def _pause(self) -> None:
        self._stopped.wait(_PAUSE_AFTER_ERROR * (0.5 + random.random()))
        self._search.look_everywhere()

    def _look(self) -> None:
        """Claims what waits, as far as there is room. Raises StoreError."""
        if not self._capacity.has_lease:
            return
        self._pipeline.release_abandoned()
        self._claim_forced()
        self._claim_async()
        self._claim_hinted()
        try:
            while self._search.more and not self._stopped.is_set() and (wanted := self._wanted()):
                self._pipeline.begin(self._find(wanted), self._search.more)
                self._note_claimed()
        finally:
            try:
                self._pipeline.end()
            finally:
                self._note_claimed()
        self._claim_async()

    def _claim_forced(self) -> None:
        if (wanted := self._capacity.wanted_forced()) and self._search.pop_forced():
            ids = self._store.claims.forced(self._queues or None, wanted)
            self._pipeline.claim(self._pipeline.with_proper_ids(ids))
            self._note_claimed()
            self._async_left = True

    def _claim_hinted(self) -> None:
        for job_id in self._search.pop_hinted():
            if self._wanted() and not self._capacity.async_full:
                self._pipeline.claim_one(job_id, self._queues)
                self._note_claimed()
            else:
                self._search.more = True

    def _claim_async(self) -> None:
        """Claims async jobs that wait behind others for which there is no slot."""
        while self._async_left and not self._stopped.is_set() and (wanted := self._capacity.wanted_async()):
            ids = self._store.claims.asynchronous(self._queues or None, wanted)
            self._async_left = len(ids) == wanted
            self._pipeline.claim(self._pipeline.with_proper_ids(ids))
            self._note_claimed()

    def _note_claimed(self) -> None:
        """Learns from what the last claims got."""
        asked, got = self._pipeline.collect()
        self._partition.claimed(asked, got)
        self._async_left |= got > 0 and self._capacity.has_async

    def _wanted(self) -> int:
        return self._capacity.wanted(self._pipeline.asked)

    def _find(self, wanted: int) -> list[ObjectId]:
        """Searches for so many jobs; returns the ids to ask for."""
        search, claims = self._search, self._store.claims
        if search.begin_everywhere() and not self._queues:
            search.know(claims.queues())
        queues, cursor, partition = search.queues, search.cursor, self._partition
        if cursor is None:
            self._pipeline.end()  # a search from the head of a queue would find once more what is being claimed
            self._note_claimed()
        look_at = partition.look_at(wanted, queues)
        found = claims.candidates(queues, look_at, cursor, but_async=self._capacity.async_full) if queues else []
        jobs = self._pipeline.well_placed(found)
        if len(jobs) < len(found):
            look_at -= len(found) - len(jobs)
            self._stopped.wait(_PAUSE_FOR_OTHERS)  # if one could not be set aside it is found again
        ids = self._own_part(jobs, wanted, cursor is None)
        search.found(jobs, look_at, left=len(ids) < len(jobs))
        if cursor is not None and len(jobs) < look_at and partition.shared:
            search.look_everywhere()  # for what others left behind
        return ids

    def _own_part(self, jobs: Sequence[Document], wanted: int, at_head: bool) -> list[ObjectId]:
        """Returns the ids to ask for, while other nodes search among the same jobs."""
        now = self._clock.monotonic()
        if len(jobs) > 1 and self._partition.is_old(now):
            self._partition.know(self._store.nodes.all(), now)
        ids = self._partition.ours(jobs, wanted, at_head, now)
        if jobs and not ids:
            self._stopped.wait(_PAUSE_FOR_OTHERS)
        return ids
