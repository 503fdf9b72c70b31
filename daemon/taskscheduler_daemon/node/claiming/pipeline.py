"""Claims jobs in batches. A claim whose answer is lost is read back by its id, or released."""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import QUEUED, Status
from taskscheduler.model.readable import Fault, fault_of_unclaimable, fault_of_waiting, faults_of_claimed
from taskscheduler.operations.late import release_late
from taskscheduler.operations.set_aside import set_aside
from taskscheduler.store import Store
from taskscheduler.store.claimed_job import ClaimedJob, Pattern
from taskscheduler.store.claims import WAITING, WAITING_OR_IN_TURN, Claimable, Scope, startable, successors
from taskscheduler.store.driver_errors import StoreError, is_refused_write
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.claiming.rate_check import RateCheck
from taskscheduler_daemon.node.claiming.successors import lists_of
from taskscheduler_daemon.node.dispatch.dispatcher import Dispatcher
from taskscheduler_daemon.node.dispatch.gathering import Wanted
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.in_flight import Attempt
from taskscheduler_daemon.node.state.traits import Traits

logger = logging.getLogger(__name__)

_WAITING, _RUNNING = {"status": int(Status.WAITING)}, {"status": int(Status.PROCESSING)}

_QUEUED = {"status": {"$in": sorted(map(int, QUEUED))}}

_TWO_PARTS = 32  #: jobs of flows that are worth two claims

_AT_ONCE = 2  #: claims under way: a server works on one while it waits for the journal of another


class Claimed(NamedTuple):
    """How many jobs were asked for, and how many of them were got."""

    asked: int
    got: int


class ClaimPipeline:
    """Claims jobs by their ids and dispatches those that it got. Only the claimer calls it, unless noted."""

    def __init__(
        self,
        store: Store,
        node: NodeIdentity,
        capacity: Capacity,
        dispatcher: Dispatcher,
        rates: RateCheck,
        clock: Clock,
    ) -> None:
        self._store = store
        self.boot = node.boot
        self._node = node.name
        self._capacity = capacity
        self.dispatcher = dispatcher  #: of what the claims get
        self._rates = rates
        self._clock = clock
        self._abandoned: list[str] = []  #: claims under way, and those whose outcome is not known
        self._under_way: deque[tuple[list[ObjectId], Future[tuple[str, list[ClaimedJob]]]]] = deque()
        self._begun: list[Fence] = []  #: of attempts that were dispatched and are not logged yet
        self._asked = self._got = 0
        self._beside: ClaimPipeline | None = None
        self._logs_apart = False  #: whether the next claim is not to wait for the log
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="taskscheduler-claim")

    def beside(self) -> ClaimPipeline:
        """Returns another pipeline, for urgent claims of other threads; `unconfirmed` knows of these, too."""
        self._beside = ClaimPipeline(
            self._store, NodeIdentity(self.boot, self._node), self._capacity, self.dispatcher, self._rates, self._clock
        )
        self._beside._logs_apart = True
        return self._beside

    def stop(self) -> None:
        """Returns when no claim is under way."""
        self._pool.shutdown()

    @property
    def asked(self) -> int:
        """The number of jobs that are being claimed."""
        return sum(len(ids) for ids, _ in self._under_way)

    @property
    def under_way(self) -> set[ObjectId]:
        """The jobs that are being claimed."""
        return {job_id for ids, _ in self._under_way for job_id in ids}

    def collect(self) -> Claimed:
        """Returns what claims asked for and got since the last call."""
        claimed = Claimed(self._asked, self._got)
        self._asked = self._got = 0
        return claimed

    def claim(self, ids: list[ObjectId], in_turn: bool = False, scope: Scope | None = None) -> None:
        """Claims these jobs, and returns when that is done. Raises StoreError.

        `in_turn`: also those among them that wait for the turn of their group. `scope`: only those that it admits, as
        no search has found them.
        """
        if ids:
            claimable = startable(scope) if scope is not None else WAITING_OR_IN_TURN if in_turn else WAITING
            self._take(len(ids), *self._claim_and_read_back(ids, claimable))
            self._log_begun()

    def claim_one(self, job_id: ObjectId, scope: Scope, claimable: Claimable = WAITING) -> None:
        """Claims a job that was added to an idle cluster, with one operation instead of three. Raises StoreError."""
        claim = uuid.uuid4().hex
        self._abandoned.append(claim)
        self._take(1, claim, self._store.claims.claim_one(job_id, scope, claim, self.boot, self._node, claimable))
        self._log_begun()

    def begin(self, ids: list[ObjectId], more: bool, in_turn: bool = False) -> None:
        """Claims these jobs; with `more` behind them without waiting, so that the next ones can be claimed meanwhile.

        `in_turn` as in `claim`. Raises StoreError, also of claims that began before.
        """
        if not ids:
            return
        if not more and not self._under_way:
            self.claim(ids, in_turn)
            return
        self.end(_AT_ONCE - 1)
        self._submit(ids, WAITING_OR_IN_TURN if in_turn else WAITING)

    def begin_successors(self, jobs: Sequence[Document], scope: Scope) -> None:
        """Claims jobs that come after others which have ended; several without waiting for that. Raises StoreError.

        Many in two parts while no job runs: the workers begin with the first one, and the server works on both at once.
        """
        claimable = successors(lists_of(jobs), scope, self._store.clock.now())
        if len(jobs) == 1:
            self.claim_one(jobs[0]["_id"], scope, claimable)
            return
        ids = [job["_id"] for job in jobs]
        first = len(ids) // 3 if len(ids) >= _TWO_PARTS and not self._capacity.busy else 0
        for part in (ids[:first], ids[first:]):
            if part:
                self.end(_AT_ONCE - 1)
                self._submit(part, claimable)

    def _submit(self, ids: list[ObjectId], claimable: Claimable) -> None:
        self._under_way.append((ids, self._pool.submit(self._claim_and_read_back, ids, claimable)))
        self._capacity.coming.count = self.asked

    def end(self, left: int = 0) -> None:
        """Waits for claims, in the order in which they began, until so many are left under way. Raises StoreError."""
        failed: StoreError | None = None
        while len(self._under_way) > left:
            ids, claiming = self._under_way.popleft()
            try:
                self._take(len(ids), *claiming.result())
            except StoreError as error:
                failed = error
            finally:
                self._capacity.coming.count = self.asked  # not before they are in flight
        self._log_begun()
        if failed is not None:
            raise failed

    def _claim_and_read_back(self, ids: list[ObjectId], claimable: Claimable) -> tuple[str, list[ClaimedJob]]:
        """Only what the majority says is ours counts, also if the claim ended in an error."""
        claim, got = uuid.uuid4().hex, len(ids)
        self._abandoned.append(claim)
        try:
            got = self._store.claims.claim(ids, claim, self.boot, self._node, claimable)
        except StoreError as error:
            logger.info("claim uncertain", extra={"reason": str(error)[:200]})
            if is_refused_write(error):
                self._claim_apart(ids, claim, claimable)
        place = {job_id: number for number, job_id in enumerate(ids)}
        taken = self._store.claims.claimed(claim, self.boot)
        if len(taken) < got:  # cancelled in between, perhaps; nobody else can know that they will never start
            self._release_unstarted(claim)
        return claim, sorted(taken, key=lambda one: place[one.id])

    def _claim_apart(self, ids: list[ObjectId], claim: str, claimable: Claimable) -> None:
        """Claims jobs in ever smaller parts, as the database refuses to claim one of them; that one fails."""
        if len(ids) == 1:
            self._set_aside_unclaimable(ids[0])
            return
        for part in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
            try:
                self._store.claims.claim(part, claim, self.boot, self._node, claimable)
            except StoreError as error:
                if not is_refused_write(error):
                    raise
                self._claim_apart(part, claim, claimable)

    def _set_aside_unclaimable(self, job_id: ObjectId) -> None:
        job = self._store.jobs.get(job_id)
        if job is not None:
            set_aside(self._store, job_id, fault_of_unclaimable(job), _QUEUED)

    def companions(self, scope: Scope, wanted: Wanted, count: int) -> list[Document]:
        """Returns so many waiting jobs that a batch which gathers could take."""
        return self._store.claims.companions(scope, wanted.name, wanted.queue, count)

    def with_proper_ids(self, ids: list[ObjectId]) -> list[ObjectId]:
        """Returns those of these waiting jobs that a claim can name; the others fail."""
        proper = [job_id for job_id in ids if isinstance(job_id, ObjectId)]
        if len(proper) < len(ids):
            self.well_placed([{"_id": job_id} for job_id in ids if not isinstance(job_id, ObjectId)])
        return proper

    def well_placed(self, jobs: list[Document]) -> list[Document]:
        """Returns those of these waiting jobs whose place in the queue makes sense; the others fail."""
        faults = [(job, fault) for job in jobs if (fault := fault_of_waiting(job)) is not None]
        for job, fault in faults:
            set_aside(self._store, job["_id"], fault, _WAITING)
        return [job for job in jobs if fault_of_waiting(job) is None] if faults else jobs

    def _release_unstarted(self, claim: str) -> None:
        self._store.services.release_unstarted(claim, self.boot)
        self._store.admission.release_unstarted(claim, self.boot)

    def _take(self, asked: int, claim: str, taken: Sequence[ClaimedJob]) -> None:
        """From here on the jobs that a claim got are in flight."""
        now = self._clock.monotonic()
        faults = _faults(taken)
        sound = [one for number, one in enumerate(taken) if number not in faults] if faults else taken
        attempts = _attempts(sound, claim, now)
        if any(attempt.traits.expires for attempt in attempts):
            attempts = [attempt for attempt in attempts if self._is_in_time(attempt, now)]
        attempts = self._rates.permitted(attempts)
        self._capacity.admit(attempts)
        self._abandoned.remove(claim)  # not before they are in flight: see `unconfirmed`
        self._asked += asked
        self._got += len(attempts)
        if attempts:
            self.dispatcher.dispatch(attempts)
            self._begun += [one.fence for one in attempts]
        for number, fault in faults.items():
            set_aside(self._store, taken[number].id, fault, {**_RUNNING, "claim": claim, "boot": self.boot})

    def _log_begun(self) -> None:
        """Logs what was dispatched, once for all claims that have ended by now: none of them waits for it."""
        begun, self._begun, running = self._begun, [], int(Status.PROCESSING)
        if begun:
            entries = [{"job": job_id, "status": running, "attempt": attempt} for job_id, _, attempt in begun]
            if self._logs_apart:
                self._pool.submit(self._store.events.append, entries, self._node)
            else:
                self._store.events.append(entries, self._node)

    def _is_in_time(self, attempt: Attempt, now: float) -> bool:
        """Notes until when an attempt may begin, if that is limited; ends its job if it is too late already."""
        expires = attempt.job.get("expires")
        if expires is None:
            return True
        attempt.start_by = now + (expires - self._store.clock.now()).total_seconds()
        return not release_late(self._store, attempt.fence, attempt.job)

    def unconfirmed(self) -> list[str]:
        """Returns the claims that are under way, or whose outcome is not known. Safe to use from any thread.

        The jobs of any other claim are in flight, or were.
        """
        beside = self._beside.unconfirmed() if self._beside is not None else []
        return [*beside, *self._abandoned]

    def release_abandoned(self) -> None:
        """Releases the jobs of claims that could not be read back; the database may carry a claim out late.

        Raises StoreError.
        """
        for claim in list(self._abandoned):
            self._store.claims.release_claim(claim, self.boot)
            self._release_unstarted(claim)
            self._abandoned.remove(claim)


def _faults(taken: Sequence[ClaimedJob]) -> dict[int, Fault]:
    """Returns the faults among claimed jobs by their positions; those that have a pattern have none."""
    unlike = [number for number, one in enumerate(taken) if one.like is None]
    found = faults_of_claimed([taken[number].job for number in unlike]) if unlike else {}
    return {unlike[place]: fault for place, fault in found.items()}


def _attempts(taken: Sequence[ClaimedJob], claim: str, now: float) -> list[Attempt]:
    """Returns the attempts at claimed jobs, whose traits are found out once for all that are alike."""
    known: dict[Pattern, tuple[int, Traits]] = {}
    attempts = []
    for one in taken:
        like = one.like
        if like is None:
            job = one.job
            attempts.append(Attempt(Fence(one.id, claim, job["attempt"]), job, one.raw, now))
            continue
        if like not in known:
            known[like] = like.job["attempt"], Traits(like.job)
        number, traits = known[like]
        attempts.append(Attempt(Fence(one.id, claim, number), one, one.raw, now, traits, one.due))
    return attempts
