"""Takes jobs for a node so that nothing is lost: what a claim got is read back, or given back if it cannot be."""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.model.lifecycle import Status
from taskscheduler.store import Store
from taskscheduler.store.claimed_job import ClaimedJob
from taskscheduler.store.driver_errors import StoreError
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.state.in_flight import Attempt, Ledger

logger = logging.getLogger(__name__)

_AT_ONCE = 2  #: claims under way: a server works on one while it waits for the journal of another


class ClaimPipeline:
    """Claims jobs by their ids, and puts those that it got into the ledger."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        boot: ObjectId,
        node: str,
        got: Callable[[int, list[Attempt]], None],
        clock: Clock,
    ) -> None:
        """`got` is called after each claim with how many were asked for, and what it got."""
        self._store = store
        self._ledger = ledger
        self._boot = boot
        self._node = node
        self._got = got
        self._clock = clock
        self._abandoned: list[str] = []  #: claims of which it is not known what they got
        self._under_way: deque[tuple[list[ObjectId], Future[tuple[str, list[ClaimedJob]]]]] = deque()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="taskscheduler-claim")

    def stop(self) -> None:
        """Returns when nothing is under way."""
        self._pool.shutdown()

    @property
    def asked(self) -> int:
        """How many jobs are being claimed."""
        return sum(len(ids) for ids, _ in self._under_way)

    def claim(self, ids: list[ObjectId]) -> None:
        """Claim these, and return when that is done."""
        if ids:
            self._take(len(ids), *self._claim_and_read_back(ids))

    def claim_one(self, job_id: ObjectId, queues: Sequence[str]) -> None:
        """One operation instead of three, for a job that was added to an idle cluster."""
        claim = uuid.uuid4().hex
        self._abandoned.append(claim)
        self._take(1, claim, self._store.claims.claim_one(job_id, queues, claim, self._boot, self._node))

    def begin(self, ids: list[ObjectId], more: bool) -> None:
        """Claim these; if there are more behind them, go on to claim those while the server is busy with these."""
        if not ids:
            return
        if not more and not self._under_way:
            self.claim(ids)
            return
        self.end(_AT_ONCE - 1)
        self._under_way.append((ids, self._pool.submit(self._claim_and_read_back, ids)))

    def end(self, left: int = 0) -> None:
        """Take what claims have got, in the order in which they began, until so many are under way."""
        failed: StoreError | None = None
        while len(self._under_way) > left:
            ids, claiming = self._under_way.popleft()
            try:
                self._take(len(ids), *claiming.result())
            except StoreError as error:
                failed = error
        if failed is not None:
            raise failed

    def _claim_and_read_back(self, ids: list[ObjectId]) -> tuple[str, list[ClaimedJob]]:
        """Claim, then read back: only what the majority says is ours counts, also if the claim ended in an error."""
        claim, got = uuid.uuid4().hex, len(ids)
        self._abandoned.append(claim)
        try:
            got = self._store.claims.claim(ids, claim, self._boot, self._node)
        except StoreError as error:
            logger.info("claim uncertain", extra={"reason": str(error)[:200]})
        place = {job_id: number for number, job_id in enumerate(ids)}
        taken = self._store.claims.claimed(claim, self._boot)
        if len(taken) < got:  # cancelled in between, perhaps; nobody else can say that they will never begin
            self._release_unstarted(claim)
        return claim, sorted(taken, key=lambda one: place[one.job["_id"]])

    def _release_unstarted(self, claim: str) -> None:
        self._store.services.release_unstarted(claim, self._boot)
        self._store.solo_locks.release_unstarted(claim, self._boot)

    def _take(self, asked: int, claim: str, taken: Sequence[ClaimedJob]) -> None:
        """What a claim has got is ours from here on."""
        now = self._clock.monotonic()
        attempts = [Attempt(Fence(job["_id"], claim, job["attempt"]), job, raw, now) for job, raw in taken]
        self._ledger.add(attempts)
        self._abandoned.remove(claim)  # not before they are in the ledger: see `unsettled`
        self._got(asked, attempts)
        if attempts:
            running = int(Status.PROCESSING)
            entries = [{"job": a.fence.job_id, "status": running, "attempt": a.fence.attempt} for a in attempts]
            self._store.events.append(entries, self._node)

    def unconfirmed(self) -> list[str]:
        """The claims that are under way, or of which it is not known what they got. Safe to use from any thread."""
        return list(self._abandoned)

    def release_abandoned(self) -> None:
        """Give back what claims got that could not be read back; the database may have been slow to carry them out."""
        for claim in list(self._abandoned):
            self._store.claims.release_claim(claim, self._boot)
            self._release_unstarted(claim)
            self._abandoned.remove(claim)
