"""Claimer: the thread that claims as many jobs as the manager can start soon."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.model.document import Document
from taskscheduler.store.claims import Cursor
from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.node.claiming.batches import runs_of
from taskscheduler_daemon.node.claiming.finder import JobFinder
from taskscheduler_daemon.node.claiming.partition import Asked, Partition
from taskscheduler_daemon.node.claiming.pipeline import ClaimPipeline
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.claiming.successor_claims import SuccessorClaims, know_nodes
from taskscheduler_daemon.node.claiming.urgent import UrgentClaims
from taskscheduler_daemon.node.dispatch.gathering import Wanted
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.unknown_jobs import known_nowhere
from taskscheduler_daemon.system.threads import SessionThreads, join

logger = logging.getLogger(__name__)

_PAUSE_AFTER_ERROR = 0.5

_PAUSE_FOR_OTHERS = 0.02

_AHEAD_IN_TURN = 6  #: jobs that all nodes together claim ahead while groups wait: a new group waits for these first

_SPARE = 4  #: jobs of each group that are looked at for each other node, since some of them are left to that

_OVERDUE_EVERY = 1.0  #: seconds at least between two looks for jobs that wait for a node that knows them

_LOOKS = 60  #: in the time that they may wait: the server passes over all waiting jobs at each


class Claimer:
    """Finds waiting jobs and has the pipeline claim them, whenever there are some and there is room."""

    def __init__(
        self,
        finder: JobFinder,
        capacity: Capacity,
        pipeline: ClaimPipeline,
        search: Search,
        partition: Partition,
        clock: Clock,
        threads: SessionThreads,
    ) -> None:
        self._finder = finder
        self._capacity = capacity
        self._pipeline = pipeline
        self._search = search
        self._partition = partition
        self._clock = clock
        self._threads = threads
        self._successors = SuccessorClaims(finder, capacity, pipeline, search, partition, clock)
        self.urgent = UrgentClaims(finder, capacity, pipeline, search, partition)
        self._wake = search.wake
        self._stopped = threading.Event()
        self._claiming = threading.Lock()  #: held by the thread that claims
        self._overdue_at = float("-inf")  #: when to look next for jobs that wait in vain
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

    def claim_added(self, ids: Sequence[ObjectId], queues: Sequence[str], forced: bool, later: bool) -> None:
        """Claims these added jobs soon; a few in this thread while the claimer rests, since to wake it takes 0.4 ms."""
        if self._search.hint(ids, queues, forced, later) and not self._claim_in_this_thread():
            self._wake.set()

    def groups_wait(self, queues: Sequence[str]) -> None:
        """Searches soon for jobs that wait for the turn of their group, if one of these queues is served here."""
        if self._search.groups_wait(queues):
            self._wake.set()

    def slots_free(self) -> None:
        """Searches soon if the last search left jobs behind and there is room for them now."""
        if self._wake.is_set():
            return
        capacity = self._capacity
        room = self._search.more and capacity.room()
        if room or (self._async_left and capacity.async_room()) or (self._search.forced and capacity.wanted_forced()):
            self._wake.set()

    def stop(self) -> None:
        """Claims nothing more; returns when no claim is under way."""
        self._stopped.set()
        self._wake.set()
        join(self._thread)
        self.urgent.stop()
        with self._claiming:
            self._pipeline.stop()

    def _loop(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait()
            self._wake.clear()
            if self._stopped.is_set():
                break
            try:
                with self._claiming:
                    self._look()
            except Exception as error:  # what a search meets in the database must not stop the jobs that run
                _log_failure(error)
                self._pause()
        self._successors.close()

    def _pause(self) -> None:
        self._stopped.wait(_PAUSE_AFTER_ERROR * (0.5 + random.random()))
        self._search.look_everywhere()
        if self._finder.successors.are_left:
            self._wake.set()

    def _look(self) -> None:
        """Claims what waits, as far as there is room. Raises StoreError."""
        if not self._capacity.has_lease:
            self._successors.release()
            return
        self._pipeline.release_abandoned()
        self.urgent.settle()
        if self._finder.is_paused:
            self._successors.release()
            return
        self._successors.look_unheard(has_room=self._wanted() > 0)
        self._claim_forced()
        self._claim_async()
        self._claim_overdue()
        self._claim_hinted()
        try:
            while self._search.more and not self._stopped.is_set() and (wanted := self._wanted()):
                self._pipeline.begin(self._find(wanted), self._search.more, self._search.grouped)
                self._note_claimed()
                self._fill_batches()
        finally:
            try:
                self._pipeline.end()
            finally:
                self._note_claimed()
        self._claim_successors()
        self._claim_async()
        self._fill_batches()

    def _claim_successors(self) -> None:
        self._successors.claim()
        if self._note_claimed():
            self._successors.settle()

    def _claim_forced(self) -> None:
        if not self._search.pop_forced():
            return
        self._async_left = True
        wanted = self._capacity.wanted_forced()
        found = self._finder.forced(wanted or 1)
        self._search.found_forced(found.looked_at, wanted or 1)
        if wanted:
            self._pipeline.claim(self._pipeline.with_proper_ids(found.ids))
            self._note_claimed()

    def _claim_hinted(self) -> None:
        for job_id in self._search.pop_hinted():
            if self._wanted() and not self._capacity.async_full and not self._search.forced:
                self._pipeline.claim_one(job_id, self._finder.scope())
                self._note_claimed()
            else:
                self._search.more = True

    def _claim_in_this_thread(self) -> bool:
        """Claims the jobs that were hinted at, unless the claimer is at work; returns whether it has nothing to do."""
        if not self._claiming.acquire(blocking=False):
            return False
        try:
            if self._stopped.is_set() or self._finder.is_paused:
                return False
            self._claim_hinted()
            return not (self._search.more or self._async_left or self._capacity.batches.is_used)
        except Exception as error:
            _log_failure(error)
            self._search.look_everywhere()
            return False
        finally:
            self._claiming.release()

    def _claim_async(self) -> None:
        """Claims async jobs that wait behind others for which there is no slot; with a single slot, before others."""
        finder = self._finder
        while self._async_left and not self._stopped.is_set() and (wanted := self._capacity.wanted_async()):
            # both kinds share a single slot, in the order of their arrival
            is_shared = self._capacity.slots == 1
            found = finder.asynchronous_in_turn(wanted) if is_shared else finder.asynchronous(wanted)
            in_turn = finder.async_in_turn(wanted - len(found.ids)) if self._search.grouped else []
            self._async_left = found.looked_at >= wanted or bool(in_turn)
            self._pipeline.claim([*self._pipeline.with_proper_ids(found.ids), *in_turn], self._search.grouped)
            self._note_claimed()

    def _claim_overdue(self) -> None:
        """Claims jobs that no node knows and that have waited long enough for one: a worker says why they fail."""
        unknown, now = self._capacity.unknown, self._clock.monotonic()
        names = unknown.names(now) if unknown.until else []
        if not names or now < self._overdue_at or not (wanted := self._wanted()):
            return
        self._overdue_at = now + max(_OVERDUE_EVERY, unknown.timeout / _LOOKS)
        jobs = self._finder.overdue(names, unknown.timeout, wanted)
        ids = known_nowhere(jobs, self._finder.nodes(), self._pipeline.boot) if jobs else []
        unknown.expect_to_fail(ids)
        self._pipeline.claim(self._pipeline.with_proper_ids(ids))
        self._note_claimed()

    def _fill_batches(self) -> None:
        """Claims the jobs that wait for batches which gather here, beyond the slots: a batch takes one for all."""
        if not self._capacity.batches.is_used:
            return
        try:
            for batch in self._pipeline.dispatcher.wanted() if self._capacity.has_lease else ():
                self._fill(batch)
        finally:
            self._pipeline.dispatcher.looked()

    def _fill(self, batch: Wanted) -> None:
        wanted, finder, pipeline = self._capacity.batches.wanted(batch.missing), self._finder, self._pipeline
        if not wanted:
            return
        found = pipeline.companions(finder.scope(), batch, self._partition.look_at(wanted, [batch.queue]))
        under_way = pipeline.under_way
        jobs = [job for job in finder.free(pipeline.well_placed(found)) if job["_id"] not in under_way]
        pipeline.claim(self._partition.ours_first(jobs, batch.queue, wanted))
        self._note_claimed()

    def _note_claimed(self) -> int:
        """Learns from what the last claims got; returns how many jobs they missed."""
        asked, got = self._pipeline.collect()
        self._partition.claimed(asked, got)
        self._async_left |= got > 0 and self._capacity.has_async
        return asked - got

    def _wanted(self) -> int:
        return self._capacity.wanted(self._pipeline.asked)

    def _find(self, wanted: int) -> list[ObjectId]:
        """Searches for so many jobs; returns the ids to ask for."""
        search, finder = self._search, self._finder
        if search.begin_everywhere() and finder.serves_all:
            search.know(finder.queues())
        grouped = self._group_queues()
        queues, partition = search.queues, self._partition
        cursor = search.cursor if grouped else partition.start(search.cursor)
        if cursor is None and not grouped:
            self._pipeline.end()  # a search from the head of a queue would find once more what is being claimed
            self._note_claimed()
        batches = self._capacity.batches.is_used and not grouped
        most = self._capacity.batches.most(wanted, self._pipeline.asked) if batches else wanted
        look_at = partition.look_at(most, grouped.union(queues))
        full = self._capacity.async_full
        found = finder.candidates(queues, look_at, cursor, full, search.forced, batches) if queues else []
        placed = self._pipeline.well_placed(found)
        if len(placed) < len(found):
            self._stopped.wait(_PAUSE_FOR_OTHERS)  # if one could not be set aside it is found again
        jobs = self._unclaimed(finder.free(placed), cursor)
        look_at -= len(found) - len(jobs)
        if grouped:
            return self._with_groups(jobs, min(wanted, self._wanted()), look_at)
        ids, go_on = self._own_part(jobs, most, len(jobs) >= look_at, cursor)
        if batches and (fit := runs_of(jobs, ids, wanted)) < len(ids):
            ids = ids[:fit]
            jobs = jobs[: 1 + [job["_id"] for job in jobs].index(ids[-1])]  # the search goes on behind these
            look_at = len(jobs)
            go_on = None
        search.found(jobs, look_at, left=len(ids) < len(jobs), go_on=go_on)
        if cursor is not None and len(jobs) < look_at and partition.shared:
            search.look_everywhere()  # for what others left behind
        return ids

    def _unclaimed(self, jobs: list[Document], after: Cursor | None) -> list[Document]:
        """Drops jobs that are being claimed: behind a place, only those of higher priority are found once more."""
        if after is None or not jobs or jobs[0]["priority"] == after.priority:
            return jobs
        under_way = self._pipeline.under_way
        return [job for job in jobs if job["_id"] not in under_way]

    def _group_queues(self) -> set[str]:
        """Returns the queues in which jobs wait for the turn of their group."""
        queues = self._finder.group_queues() if self._search.pop_grouped() else set[str]()
        if queues:
            self._search.found_grouped()
        self._capacity.most_ahead = max(1, _AHEAD_IN_TURN // self._partition.nodes) if queues else None
        return queues

    def _with_groups(self, waiting: list[Document], wanted: int, look_at: int) -> list[ObjectId]:
        """Returns the ids to ask for among waiting jobs and those of groups."""
        search, finder, others = self._search, self._finder, look_at // max(1, wanted) - 1
        being_claimed = self._pipeline.under_way
        found = finder.with_groups(waiting, look_at, others * _SPARE, self._capacity.async_full)
        jobs = [job for job in found if job["_id"] not in being_claimed]
        at_head = finder.turns.at_head and search.cursor is None
        ours = self._partition.ours(jobs, wanted, at_head, self._know_nodes(jobs))
        if jobs and not ours:
            self._stopped.wait(_PAUSE_FOR_OTHERS)
        ids = finder.take_turns(jobs, ours)
        left = finder.turns.more or len(ids) < len(found)
        search.found(jobs, look_at, left, mixed=True)
        return ids

    def _own_part(self, jobs: Sequence[Document], wanted: int, full: bool, cursor: Cursor | None) -> Asked:
        """Returns what to ask for, while other nodes search among the same jobs."""
        asked = self._partition.part(jobs, wanted, full, cursor, self._know_nodes(jobs))
        if not asked.ids and asked.go_on is None and (jobs or (cursor is not None and self._partition.is_crowded)):
            self._stopped.wait(_PAUSE_FOR_OTHERS)
        return asked

    def _know_nodes(self, jobs: Sequence[Document]) -> float:
        return know_nodes(self._partition, self._finder, self._clock, len(jobs))


def _log_failure(error: Exception) -> None:
    if isinstance(error, StoreError):
        logger.warning("claiming failed", extra={"reason": str(error)[:200]})
    else:
        logger.error("claiming failed unexpectedly", exc_info=error)
