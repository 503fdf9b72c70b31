"""A thread of the node: claims as many jobs as the manager can start soon, whenever there are some."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.model.document import Document
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.claiming.pipeline import ClaimPipeline
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.state.in_flight import Attempt, Ledger
from taskscheduler_daemon.system.threads import Crashed, duty

logger = logging.getLogger(__name__)

_MOST_PER_CLAIM = 1000

_FORCED_PER_CLAIM = 32

_PAUSE_AFTER_ERROR = 0.5

_PAUSE_FOR_OTHERS = 0.02


class Claimer:
    """Finds jobs, has them claimed and hands them on."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        boot: ObjectId,
        node: str,
        queues: Sequence[str],
        hand_on: Callable[[list[Attempt]], None],
        crashed: Crashed,
        clock: Clock,
        most: int,
        lease: float,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._queues = list(queues)
        self._hand_on = hand_on
        self._clock = clock
        self._left = most or float("inf")  #: how many jobs this node may still take
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._held_until = float("inf")  #: when the lease ends, by our clock
        self._lookout = Search(queues)
        self._partition = Partition(boot, lease)
        self._async_left = False  #: whether async jobs may wait that there was no room for
        self._pipeline = ClaimPipeline(store, ledger, boot, node, self._got, clock)
        self.unsettled = self._pipeline.unconfirmed
        self._thread = duty("claim", self._loop, crashed)

    def start(self) -> None:
        self._thread.start()

    def look_everywhere(self) -> None:
        """Look for jobs soon: it is time to, or some may wait where they would not be noticed."""
        self._lookout.look_everywhere()
        self._wake.set()

    def hint(self, ids: Sequence[ObjectId], queues: Sequence[str], forced: bool, later: bool) -> None:
        """Look for these jobs soon, which were added, if their queues are served here."""
        if self._lookout.hint(ids, queues, forced, later):
            self._wake.set()

    def renewed(self, until: float) -> None:
        """The lease lasts until then: nothing is claimed after it. What was left in between is looked for."""
        lapsed, self._held_until = self._clock.monotonic() >= self._held_until, until
        if lapsed:
            self.look_everywhere()

    def slots_free(self) -> None:
        """Look for jobs soon if the last look left some behind."""
        if self._wake.is_set():
            return
        if (self._lookout.more and self._ledger.room()) or (self._async_left and self._ledger.async_room()):
            self._wake.set()

    @property
    def idle(self) -> threading.Event:
        """Set while news of added jobs are of use."""
        return self._lookout.idle

    def stop(self) -> None:
        """Claim nothing more; returns when nothing is under way."""
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pipeline.stop()

    def refund_budget(self, count: int) -> None:
        """So many of the claimed jobs did not run here."""
        self._left += count

    @property
    def exhausted(self) -> bool:
        """Whether this node has taken all the jobs that it may."""
        return self._left <= 0

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
                self._stopped.wait(_PAUSE_AFTER_ERROR * (0.5 + random.random()))
                self._lookout.look_everywhere()

    def _look(self) -> None:
        if self._lapsed:
            return
        self._pipeline.release_abandoned()
        if self._left > 0 and self._lookout.pop_forced():
            served = self._queues or None
            self._pipeline.claim(self._store.claims.forced(served, int(min(_FORCED_PER_CLAIM, self._left))))
            self._async_left = True
        self._claim_async()
        for job_id in self._lookout.pop_hinted():
            if self._wanted() and not self._ledger.async_full:
                self._pipeline.claim_one(job_id, self._queues)
            else:
                self._lookout.more = True
        try:
            while self._lookout.more and not self._stopped.is_set() and (wanted := self._wanted()):
                self._pipeline.begin(self._search(wanted), self._lookout.more)
        finally:
            self._pipeline.end()
        self._claim_async()

    def _claim_async(self) -> None:
        """Async jobs that wait behind others for which there is no slot."""
        while self._async_left and not self._lapsed and not self._stopped.is_set():
            wanted = int(min(self._ledger.async_room(), _MOST_PER_CLAIM, self._left))
            if wanted <= 0:
                return
            ids = self._store.claims.asynchronous(self._queues or None, wanted)
            self._async_left = len(ids) == wanted
            self._pipeline.claim(ids)

    @property
    def _lapsed(self) -> bool:
        """Whether the lease is over: what is claimed now would be handed back at once."""
        return self._clock.monotonic() >= self._held_until

    def _wanted(self) -> int:
        if self._lapsed:
            return 0
        asked = self._pipeline.asked
        return int(max(0, min(self._ledger.room(asked), _MOST_PER_CLAIM, self._left - asked)))

    def _search(self, wanted: int) -> list[ObjectId]:
        lookout, claims = self._lookout, self._store.claims
        if lookout.begin_everywhere() and not self._queues:
            lookout.know(claims.queues())
        queues, mark, share = lookout.queues, lookout.cursor, self._partition
        if mark is None:
            self._pipeline.end()  # a look from the head of a queue would find once more what is being claimed
        look_at = share.look_at(wanted, queues)
        jobs = claims.candidates(queues, look_at, mark, but_async=self._ledger.async_full) if queues else []
        ids = self._own_part(jobs, wanted, mark is None)
        lookout.found(jobs, look_at, left=len(ids) < len(jobs))
        if mark is not None and len(jobs) < look_at and share.shared:
            lookout.look_everywhere()  # for what others left behind
        return ids

    def _own_part(self, jobs: Sequence[Document], wanted: int, at_head: bool) -> list[ObjectId]:
        """Those to ask for, while others look at the same ones."""
        now = self._clock.monotonic()
        if len(jobs) > 1 and self._partition.is_old(now):
            self._partition.know(self._store.nodes.all(), now)
        ids = self._partition.ours(jobs, wanted, at_head, now)
        if jobs and not ids:
            self._stopped.wait(_PAUSE_FOR_OTHERS)
        return ids

    def _got(self, asked: int, attempts: list[Attempt]) -> None:
        self._partition.claimed(asked, len(attempts))
        if attempts:
            self._left -= len(attempts)
            self._async_left |= self._ledger.has_async
            self._hand_on(attempts)
