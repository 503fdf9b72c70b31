"""A thread of the node: claims as many jobs as the manager can start soon, whenever there are some."""

from __future__ import annotations

import logging
import random
import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from bson import ObjectId
from pymongo.errors import PyMongoError

from taskscheduler.clock import Clock
from taskscheduler.record import Document
from taskscheduler.store import Store
from taskscheduler.store.attempts import Fence
from taskscheduler.store.claims import Taken
from taskscheduler_daemon.duty import Crashed, duty
from taskscheduler_daemon.ledger import Attempt, Ledger
from taskscheduler_daemon.lookout import Lookout
from taskscheduler_daemon.share import Share

logger = logging.getLogger(__name__)

_MOST_PER_CLAIM = 1000
_AT_ONCE = 2  #: claims under way: a server works on one while it waits for the journal of another
_FORCED_PER_CLAIM = 32
_PAUSE_AFTER_ERROR = 0.5
_PAUSE_FOR_OTHERS = 0.02


class Claimer:
    """Claims jobs and hands them on."""

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
        self._boot = boot
        self._node = node
        self._queues = list(queues)
        self._hand_on = hand_on
        self._clock = clock
        self._left = most or float("inf")  #: how many jobs this node may still take
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._held_until = float("inf")  #: when the lease ends, by our clock
        self._lookout = Lookout(queues)
        self._share = Share(boot, lease)
        self._async_left = False  #: whether async jobs may wait that there was no room for
        self._abandoned: list[str] = []  #: claims of which it is not known what they got
        self._under_way: deque[tuple[list[ObjectId], Future[tuple[str, list[Taken]]]]] = deque()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="taskscheduler-claim")
        self._thread = duty("claim", self._loop, crashed)

    def start(self) -> None:
        self._thread.start()

    def look_everywhere(self) -> None:
        """Look for jobs soon: it is time to, or some may wait where they would not be noticed."""
        self._lookout.look_everywhere()
        self._wake.set()

    def heard(self, ids: Sequence[ObjectId], queues: Sequence[str], forced: bool, later: bool) -> None:
        """Look for these jobs soon, which were added, if their queues are served here."""
        if self._lookout.heard(ids, queues, forced, later):
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
        self._pool.shutdown()

    def give_back(self, count: int) -> None:
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
            except PyMongoError as error:
                logger.warning("claiming failed", extra={"reason": str(error)[:200]})
                self._stopped.wait(_PAUSE_AFTER_ERROR * (0.5 + random.random()))
                self._lookout.look_everywhere()

    def _look(self) -> None:
        if self._lapsed:
            return
        self._settle_abandoned()
        if self._left > 0 and self._lookout.take_forced():
            served = self._queues or None
            self._claim(self._store.claims.forced(served, int(min(_FORCED_PER_CLAIM, self._left))))
            self._async_left = True
        self._claim_async()
        for job_id in self._lookout.take_named():
            if self._wanted() and not self._ledger.async_full:
                self._claim_one(job_id)
            else:
                self._lookout.more = True
        try:
            while self._lookout.more and not self._stopped.is_set() and (wanted := self._wanted()):
                self._begin(self._search(wanted))
        finally:
            self._end(0)
        self._claim_async()

    def _claim_async(self) -> None:
        """Async jobs that wait behind others for which there is no slot."""
        while self._async_left and not self._lapsed and not self._stopped.is_set():
            wanted = int(min(self._ledger.async_room(), _MOST_PER_CLAIM, self._left))
            if wanted <= 0:
                return
            ids = self._store.claims.asynchronous(self._queues or None, wanted)
            self._async_left = len(ids) == wanted
            self._claim(ids)

    @property
    def _lapsed(self) -> bool:
        """Whether the lease is over: what is claimed now would be handed back at once."""
        return self._clock.monotonic() >= self._held_until

    def _wanted(self) -> int:
        if self._lapsed:
            return 0
        asked = sum(len(ids) for ids, _ in self._under_way)
        return int(max(0, min(self._ledger.room(asked), _MOST_PER_CLAIM, self._left - asked)))

    def _search(self, wanted: int) -> list[ObjectId]:
        lookout, claims = self._lookout, self._store.claims
        if lookout.take_everywhere() and not self._queues:
            lookout.know(claims.queues())
        queues, mark, share = lookout.queues, lookout.mark, self._share
        if mark is None:
            self._end(0)  # a look from the head of a queue would find once more what is being claimed
        look_at = share.look_at(wanted, queues)
        jobs = claims.candidates(queues, look_at, mark, but_async=self._ledger.async_full) if queues else []
        ids = self._ours(jobs, wanted, mark is None)
        lookout.found(jobs, look_at, left=len(ids) < len(jobs))
        if mark is not None and len(jobs) < look_at and share.shared:
            lookout.look_everywhere()  # for what others left behind
        return ids

    def _ours(self, jobs: Sequence[Document], wanted: int, at_head: bool) -> list[ObjectId]:
        """Those to ask for, while others look at the same ones."""
        now = self._clock.monotonic()
        if len(jobs) > 1 and self._share.is_old(now):
            self._share.know(self._store.nodes.all(), now)
        ids = self._share.ours(jobs, wanted, at_head, now)
        if jobs and not ids:
            self._stopped.wait(_PAUSE_FOR_OTHERS)
        return ids

    def _claim_one(self, job_id: ObjectId) -> None:
        """One operation instead of three, for a job that was added to an idle cluster."""
        claim = uuid.uuid4().hex
        self._abandoned.append(claim)
        self._take(1, claim, self._store.claims.claim_one(job_id, self._queues, claim, self._boot, self._node))

    def _begin(self, ids: list[ObjectId]) -> None:
        """Claim these; if there are more behind them, go on to claim those while the server is busy with these."""
        if not ids:
            return
        if not self._lookout.more and not self._under_way:
            self._claim(ids)
            return
        self._end(_AT_ONCE - 1)
        self._under_way.append((ids, self._pool.submit(self._carry_out, ids)))

    def _end(self, left: int) -> None:
        """Take what claims have got, in the order in which they began, until so many are under way."""
        failed: PyMongoError | None = None
        while len(self._under_way) > left:
            ids, claiming = self._under_way.popleft()
            try:
                self._take(len(ids), *claiming.result())
            except PyMongoError as error:
                failed = error
        if failed is not None:
            raise failed

    def _claim(self, ids: list[ObjectId]) -> None:
        if ids:
            self._take(len(ids), *self._carry_out(ids))

    def _carry_out(self, ids: list[ObjectId]) -> tuple[str, list[Taken]]:
        """Claim, then read back: only what the majority says is ours counts, also if the claim ended in an error."""
        claim, got = uuid.uuid4().hex, len(ids)
        self._abandoned.append(claim)
        try:
            got = self._store.claims.claim(ids, claim, self._boot, self._node)
        except PyMongoError as error:
            logger.info("claim uncertain", extra={"reason": str(error)[:200]})
        place = {job_id: number for number, job_id in enumerate(ids)}
        taken = self._store.claims.claimed(claim, self._boot)
        if len(taken) < got:  # cancelled in between, perhaps; nobody else can say that they will never begin
            self._never_began(claim)
        return claim, sorted(taken, key=lambda one: place[one.job["_id"]])

    def _never_began(self, claim: str) -> None:
        self._store.services.never_began(claim, self._boot)
        self._store.gates.never_began(claim, self._boot)

    def _take(self, asked: int, claim: str, taken: Sequence[Taken]) -> None:
        """What a claim has got is ours from here on."""
        self._share.claimed(asked, len(taken))
        now = self._clock.monotonic()
        attempts = [Attempt(Fence(job["_id"], claim, job["attempt"]), job, raw, now) for job, raw in taken]
        self._ledger.add(attempts)
        self._abandoned.remove(claim)  # not before they are in the ledger: see `unsettled`
        if not attempts:
            return
        self._left -= len(attempts)
        self._async_left |= self._ledger.has_async
        self._hand_on(attempts)
        entries = [{"job": a.fence.job_id, "status": 2, "attempt": a.fence.attempt} for a in attempts]
        self._store.events.append(entries, self._node)

    def unsettled(self) -> list[str]:
        """The claims that are under way, or of which it is not known what they got. Safe to use from any thread."""
        return list(self._abandoned)

    def _settle_abandoned(self) -> None:
        """Give back what claims got that could not be read back; the database may have been slow to carry them out."""
        for claim in list(self._abandoned):
            self._store.claims.abandon(claim, self._boot)
            self._never_began(claim)
            self._abandoned.remove(claim)
