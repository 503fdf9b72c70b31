"""Two threads of the node: the heartbeat that is the lease on its jobs, and the sweeps that look after everybody's.

Any node may do any of it at any time; every write is safe to repeat and to race.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.operations.rescue import rescue
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError, is_rejection
from taskscheduler.store.fence import Fence
from taskscheduler.store.outbox import FAMILY, HOOK, NEXT
from taskscheduler.store.schema import ensure
from taskscheduler_daemon.node.maintenance.failure_detector import FailureDetector
from taskscheduler_daemon.node.maintenance.leaked_claims import LeakedClaims
from taskscheduler_daemon.node.maintenance.reconciler import _CHECK_WHEN_BUSY, _SOON, SILENCE
from taskscheduler_daemon.node.maintenance.rescuer import _WATCH_EVERY
from taskscheduler_daemon.node.state.in_flight import Ledger
from taskscheduler_daemon.node.state.lease import RENEWALS
from taskscheduler_daemon.system.threads import Crashed, duty

logger = logging.getLogger(__name__)

POLL = 2.0  #: seconds between two looks, +- a quarter so that nodes do not march in step

_OTHERS_EVERY, _SCHEMA_EVERY = 2, 30  #: in polls


class Caretaker:
    """Promotes due jobs, checks this node's own, takes back those of lost nodes, pays debts that others left."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        watch: FailureDetector,
        boot: ObjectId,
        wake_claimer: Callable[[], None],
        idle: threading.Event,
        cancel: Callable[[list[ObjectId]], None],
        missing: Callable[[Fence], None],
        renew_turns: Callable[[], None],
        strays: LeakedClaims,
        call_hook: Callable[[ObjectId], None],
        max_lost: int,
        lease: float,
        crashed: Crashed,
        clock: Clock,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._watch = watch
        self._boot = boot
        self._wake_claimer = wake_claimer
        self._idle = idle
        self._cancel = cancel
        self._missing = missing
        self._renew_turns = renew_turns
        self._strays = strays
        self._call_hook = call_hook
        self._max_lost = max_lost
        self._lease = lease
        self._clock = clock
        self._poll = min(POLL, lease / 6)
        self._polls = 0
        self._due_at = float("inf")
        self._look_due = threading.Event()
        self._stopped = threading.Event()
        self._thread = duty("care", self._loop, crashed)

    def start(self) -> None:
        self._thread.start()

    def look_for_due(self) -> None:
        """A postponed job was added: its time may come before the next look."""
        self._look_due.set()

    def stop(self) -> None:
        self._stopped.set()
        self._look_due.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        next_poll, next_check, next_watch, broken = 0.0, 0.0, 0.0, False
        while not self._stopped.is_set():
            now = self._clock.monotonic()
            try:
                if now >= next_poll:
                    next_poll = now + self._poll * random.uniform(0.75, 1.25)
                    if broken:
                        ensure(self._store.database, self._store.options)
                        broken = False
                    self._sweep()
                if now >= next_watch:
                    next_watch = now + self._poll * random.uniform(*_WATCH_EVERY)
                    self._take_back_lost()
                    next_watch = min(next_watch, self._watch.next_at)
                if now >= next_check:
                    next_check = now + (self._poll if self._idle.is_set() else _CHECK_WHEN_BUSY)
                    self._check_own()
                self._promote()
            except StoreError as error:
                logger.warning("sweep failed", extra={"reason": str(error)[:200]})
                broken = is_rejection(error)  # an index may be gone
                self._due_at = float("inf")
            until = min(next_poll, next_watch, next_check, self._due_at) - self._clock.monotonic()
            if self._look_due.wait(max(0.0, until)):
                self._look_due.clear()

    def _sweep(self) -> None:
        self._wake_claimer()
        self._renew_turns()
        self._store.solo_locks.sweep()
        if self._polls % _OTHERS_EVERY == 0:
            self._store.programs.end_silent({})
            self._pay_debts()
            self._release_strays()
        if self._polls % _SCHEMA_EVERY == _SCHEMA_EVERY - 1:
            ensure(self._store.database, self._store.options)
        self._polls += 1

    def _promote(self) -> None:
        """Make due jobs wait for a slot, and note when to do so again: of many, some at a time."""
        left = self._store.due_jobs.seconds_until_next()
        if left is None or left > 0:
            # a little late rather than a little early: early would find nothing and ask again
            self._due_at = float("inf") if left is None else self._clock.monotonic() + left + 0.001
            return
        due = self._store.due_jobs.find()
        self._store.due_jobs.promote(due)
        self._store.solo_locks.admit_next(self._store.solo_locks.queue_for(due))
        self._wake_claimer()
        self._due_at = self._clock.monotonic()

    def ended(self, ids: list[ObjectId]) -> list[ObjectId]:
        """These jobs without those that are held here: a message may come when a cancelled job runs once more.

        If the database does not answer, without all that are here: they are looked at again soon.
        """
        ours = [attempt.fence for job_id in ids if (attempt := self._ledger.get(job_id.binary)) is not None]
        try:
            held = self._store.leases.still_held(ours) if ours else set()
        except StoreError as error:
            logger.info("cancelled jobs not looked at yet", extra={"reason": str(error)[:200]})
            held = {fence.job_id for fence in ours}
        return [job_id for job_id in ids if job_id not in held]

    def _check_own(self) -> None:
        """Stop what was cancelled or deleted without our hearing of it; tell the database what runs for long."""
        now = self._clock.monotonic()
        old = [attempt for attempt in self._ledger.all() if now - attempt.claimed_at > _SOON]
        if not old:
            return
        held = self._store.leases.still_held([attempt.fence for attempt in old])
        gone = [attempt.fence.job_id for attempt in old if attempt.fence.job_id not in held]
        if gone:
            self._cancel(gone)
        for attempt in old:
            if now - max(attempt.claimed_at, attempt.seen_at) > max(self._lease, SILENCE):
                self._missing(attempt.fence)
        self._note_running(now, [attempt for attempt in old if attempt.fence.job_id in held])

    def _note_running(self, now: float, attempts: list[Any]) -> None:
        fresh = [a for a in attempts if a.worker is not None and now - a.noted > self._lease / RENEWALS]
        if fresh:
            reports = [(a.fence, {"worker": str(a.worker)}, a.parent) for a in fresh]
            self._store.completions.progress(reports)
            for attempt in fresh:
                attempt.noted = now

    def _take_back_lost(self) -> None:
        """Declare nodes lost whose heartbeat stood still for a whole lease on our own clock, and re-arm their jobs."""
        # not this one: a node that could not beat for a while may still have the ends of its jobs to write
        nodes = {node["_id"]: node for node in self._store.nodes.all() if node["_id"] != self._boot}
        owners = self._store.leases.owners() - {self._boot}
        for boot in self._watch.lost(nodes.values(), owners, self._clock.monotonic()):
            node = nodes.get(boot)
            if node is not None and "lost" not in node and not self._store.nodes.declare_lost(boot, node["beat"]):
                continue  # it beat in the last moment
            name = node["name"] if node is not None else str(boot)
            taken = rescue(self._store, boot, name, self._max_lost) if boot in owners else []
            if taken:
                logger.warning("took back jobs of a lost node", extra={"node": name, "count": len(taken)})
                self._wake_claimer()

    def _pay_debts(self) -> None:
        for job in self._store.outbox.undelivered([NEXT, FAMILY, HOOK], 100):
            if self._stopped.is_set():
                return
            self._store.outbox.deliver(job["_id"])
            if job.get("hook") is not False:
                self._call_hook(job["_id"])

    def _release_strays(self) -> None:
        """Give back attempts that are ours in the database only: of claims that were carried out late."""
        for fence in self._strays.look(self._ledger.fences, lambda: self._store.leases.held_by(self._boot)):
            self._store.claims.release(fence)
