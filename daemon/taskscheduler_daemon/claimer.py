"""A thread of the node: claims as many jobs as the manager can start soon, whenever there are some."""

from __future__ import annotations

import logging
import random
import threading
import uuid
from collections.abc import Callable, Sequence

from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.errors import PyMongoError

from taskscheduler.clock import Clock
from taskscheduler.store import Store
from taskscheduler.store.attempts import Fence
from taskscheduler_daemon.duty import Crashed, duty
from taskscheduler_daemon.ledger import Attempt, Ledger
from taskscheduler_daemon.lookout import Lookout

logger = logging.getLogger(__name__)

_MOST_PER_CLAIM = 1000
_FORCED_PER_CLAIM = 32
_PAUSE_AFTER_ERROR = 0.5


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
        most: int = 0,
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
        self._lookout = Lookout(queues)
        self._abandoned: list[str] = []  #: claims of which it is not known what they got
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

    def slots_free(self) -> None:
        """Look for jobs soon if the last look left some behind."""
        if self._lookout.more and not self._wake.is_set() and self._ledger.room():
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
        self._settle_abandoned()
        if self._left > 0 and self._lookout.take_forced():
            served = self._queues or None
            self._claim(self._store.claims.forced(served, int(min(_FORCED_PER_CLAIM, self._left))))
        for job_id in self._lookout.take_named():
            if self._wanted():
                self._claim_one(job_id)
            else:
                self._lookout.more = True
        while self._lookout.more and not self._stopped.is_set() and (wanted := self._wanted()):
            self._claim(self._search(wanted))

    def _wanted(self) -> int:
        return int(max(0, min(self._ledger.room(), _MOST_PER_CLAIM, self._left)))

    def _search(self, wanted: int) -> list[ObjectId]:
        lookout, claims = self._lookout, self._store.claims
        if lookout.take_everywhere() and not self._queues:
            lookout.know(claims.queues())
        queues = lookout.queues
        jobs = claims.candidates(queues, wanted, lookout.mark) if queues else []
        lookout.found(jobs, wanted)
        return [job["_id"] for job in jobs]

    def _claim_one(self, job_id: ObjectId) -> None:
        """One operation instead of three, for a job that was added to an idle cluster."""
        claim = uuid.uuid4().hex
        self._abandoned.append(claim)
        job = self._store.claims.claim_one(job_id, self._queues, claim, self._boot, self._node)
        self._take(claim, [] if job is None else [job])

    def _claim(self, ids: Sequence[ObjectId]) -> None:
        """Claim, then read back: only what the majority says is ours counts, also if the claim ended in an error."""
        if not ids:
            return
        claim = uuid.uuid4().hex
        self._abandoned.append(claim)
        try:
            self._store.claims.claim(ids, claim, self._boot, self._node)
        except PyMongoError as error:
            logger.info("claim uncertain", extra={"reason": str(error)[:200]})
        place = {job_id: number for number, job_id in enumerate(ids)}
        self._take(claim, sorted(self._store.claims.claimed(claim, self._boot), key=lambda job: place[job["_id"]]))

    def _take(self, claim: str, jobs: Sequence[RawBSONDocument]) -> None:
        """What a claim has got is ours from here on."""
        now = self._clock.monotonic()
        attempts = [Attempt(Fence(job["_id"], claim, job["attempt"]), job, now) for job in jobs]
        self._abandoned.remove(claim)
        if not attempts:
            return
        self._left -= len(attempts)
        self._ledger.add(attempts)
        self._hand_on(attempts)
        entries = [{"job": a.fence.job_id, "status": 2, "attempt": a.fence.attempt} for a in attempts]
        self._store.events.append(entries, self._node)

    def _settle_abandoned(self) -> None:
        """Give back what claims got that could not be read back; the database may have been slow to carry them out."""
        for claim in list(self._abandoned):
            self._store.claims.abandon(claim, self._boot)
            self._abandoned.remove(claim)
