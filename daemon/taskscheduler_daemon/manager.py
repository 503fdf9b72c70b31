"""The worker manager: one thread, one loop over messages, signals, workers and deadlines. It never opens MongoDB.

What to do is decided in `pool`; how to fork, kill and wait in `process`. This module carries out and reports.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import bson
from bson import ObjectId

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler.lifecycle import Ending
from taskscheduler.record import CODEC
from taskscheduler_daemon import messages, wire
from taskscheduler_daemon.account import account
from taskscheduler_daemon.asyncruns import AsyncRuns
from taskscheduler_daemon.channel import Receiver, Sender
from taskscheduler_daemon.exits import EXIT_BOOT, EXIT_OK, Exit
from taskscheduler_daemon.hands import Hands
from taskscheduler_daemon.lifetime import next_retirement, outgrown, to_measure, to_retire
from taskscheduler_daemon.messages import NO_WORKER, Flag, Kind, Report, Run
from taskscheduler_daemon.obituary import obituary
from taskscheduler_daemon.options import PoolOptions
from taskscheduler_daemon.pool import Doom, Member, Pool
from taskscheduler_daemon.process import (
    ForkError,
    adopt_orphans,
    kill,
    kill_adopted,
    kill_tree,
    own_memory,
    reap,
    signal_group,
    spawn,
)
from taskscheduler_daemon.wakeup import Signals
from taskscheduler_daemon.worker import Worker

if TYPE_CHECKING:
    from taskscheduler_daemon.factory import WorkerFactory
    from taskscheduler_daemon.link import ManagerEnd

logger = logging.getLogger(__name__)

_HELD_EVERY = 1.0  #: seconds between two accounts of what the manager holds
_STRANGERS_EVERY = 0.1
_LINGER = 0.001
_FOREVER = float("inf")


class WorkerManager:
    """Keeps the workers of one node. Built by a worker factory in the new process.

    Takes the pool options (pm, min_children, ...) as keywords; see PoolOptions. InvalidOptionError for a bad one.
    """

    def __init__(self, factory: WorkerFactory, clock: Clock = SYSTEM_CLOCK, **options: Any) -> None:
        self._factory = factory
        self._clock = clock
        self._pool = Pool(PoolOptions.of(options))
        self._hands: dict[int, Hands] = {}  #: by pid
        self._lease_until = _FOREVER
        self._lapsed_at = 0.0  #: the end of the last lease that was not renewed in time
        self._stop_at = _FOREVER
        self._held_at = 0.0
        self._talk_at = _FOREVER
        self._strangers_at = _FOREVER
        self._link: ManagerEnd
        self._down: Receiver
        self._up: Sender

    def process(self, link: ManagerEnd) -> int:
        """Serve a node until it stops or dies; the exit code of the process."""
        self._link, self._down, self._up = link, Receiver(link.down), Sender(link.up)
        self._async = AsyncRuns(self._tell_worker, self._report, self._let_restart, link.settings.kill_grace)
        adopt_orphans()
        self._signals = Signals([signal.SIGCHLD, signal.SIGTERM])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the node's affair
        self._selector = selectors.DefaultSelector()
        self._selector.register(link.down, selectors.EVENT_READ, self._from_node)
        self._selector.register(self._signals, selectors.EVENT_READ, self._signaled)
        self._selector.register(link.lifeline, selectors.EVENT_READ, self._node_died)
        self._urgent = selectors.DefaultSelector()
        self._urgent.register(self._signals, selectors.EVENT_READ)
        self._urgent.register(link.lifeline, selectors.EVENT_READ)
        self._writing = False
        self._introduce()
        try:
            return self._loop()
        finally:
            self._kill_all()

    def _loop(self) -> int:
        while not self._finished():
            now = self._clock.monotonic()
            self._spawn(now)
            self._assign(now)
            self._flush()
            if self._pool.well_supplied():
                self._urgent.select(_LINGER)  # what gathers in the meantime is dealt with in one go
            wait = max(0.0, min(self._next_event(now), 60.0 + now) - now)
            for key, _ in self._selector.select(wait):
                key.data()
            self._keep_deadlines(self._clock.monotonic())
            if self._pool.broken:
                self._up.push(messages.notice(Kind.BROKEN))
                self._flush()
                return EXIT_BOOT
        self._up.push(messages.notice(Kind.STOPPED))
        self._flush()
        return EXIT_OK

    def _finished(self) -> bool:
        return self._pool.stopping and not self._pool.members

    def _next_event(self, now: float) -> float:
        timers = [self._pool.next_event(now), next_retirement(self._pool), self._stop_at, self._talk_at]
        timers.append(self._strangers_at)
        if self._pool.holds():
            timers += [self._lease_until, max(self._held_at + _HELD_EVERY, now)]
        return min(timers)

    # -- messages from and to the node ------------------------------------------------------------------------------

    def _from_node(self) -> None:
        now = self._clock.monotonic()
        for message in self._down.receive():
            kind = messages.kind_of(message)
            if kind == Kind.RUN:
                run = Run.decode(message)
                if self._pool.stopping:
                    self._report(Ending.UNSTARTED, run)
                else:
                    self._pool.accept(run, now)
            elif kind == Kind.CANCEL:
                for job_id in messages.canceled_ids(message):
                    self._cancel(job_id, now)
            elif kind == Kind.LEASE:
                self._lease_until = messages.time_of(message)
                self._introduce()
            elif kind == Kind.STOP:
                self._stop(now + messages.time_of(message))
            elif kind == Kind.RECYCLE:
                self._recycle()

    def _introduce(self) -> None:
        """Say how many jobs can run here; with every renewal of the lease, as the node can do nothing without it."""
        options = self._pool.options
        facts = {"slots": options.slots, "async_jobs": options.async_limit, "pm": str(options.pm)}
        self._up.push(messages.notice(Kind.POOL, **facts))

    def _flush(self) -> None:
        """Send what waits for the node; watch for room in the queue as long as something is left."""
        stuck = not self._up.flush()
        if stuck and not self._writing:
            self._selector.register(self._link.up_writable, selectors.EVENT_WRITE, self._flush)
        elif not stuck and self._writing:
            self._selector.unregister(self._link.up_writable)
        self._writing = stuck

    def _report(
        self, ending: Ending, run: Run, worker: bytes = NO_WORKER, seconds: float = 0.0, **content: Any
    ) -> None:
        body = bson.encode(content, codec_options=CODEC) if content else b""
        self._up.push(Report(Kind.REPORT, ending, run.job_id, run.attempt, worker, seconds, body).encode())
        self._let_restart(run)

    def _let_restart(self, run: Run) -> None:
        """A run has ended, also one that was cancelled: others may wait until nothing is left of it."""
        if run.flags & Flag.EXCLUSIVE:
            self._up.push(messages.gone(run.job_id, run.attempt))

    def _hand_back_waiting(self, runs: list[Run] | None = None) -> None:
        for run in self._pool.drain() if runs is None else runs:
            self._report(Ending.UNSTARTED, run)

    def _cancel(self, job_id: bytes, now: float) -> None:
        member = self._pool.holder(job_id)
        if member is not None:
            self._take_back(member, now)  # the worker may not have begun it
        run = self._pool.remove_waiting(job_id)
        if run is not None:
            self._let_restart(run)
        if run is not None or member is None:
            return
        if job_id in member.background:
            self._async.end(member, job_id, Doom.CANCELED, now)
            return
        if member.running is not None and member.running.job_id == job_id:
            self._doom(member, Doom.CANCELED, now)

    def _stop(self, at: float) -> None:
        """Hand back what has not begun, let the rest finish until `at`; a second call may bring the end forward."""
        self._stop_at = min(self._stop_at, at)
        now = self._clock.monotonic()
        self._pool.stopping = True
        for member in list(self._pool.members.values()):
            self._take_back(member, now)
        self._hand_back_waiting()
        for member in list(self._pool.members.values()):
            self._leave(member)
            if member.serves:
                self._doom(member, Doom.RETURNED, now)

    def _recycle(self) -> None:
        for member in list(self._pool.members.values()):
            self._leave(member)

    def _node_died(self) -> None:
        """The lifeline is closed: whatever runs here is not ours any more."""
        self._kill_all()
        os._exit(EXIT_OK)

    # -- workers ----------------------------------------------------------------------------------------------------

    def _spawn(self, now: float) -> None:
        ordinary, forced = self._pool.to_spawn(now)
        try:
            for number in range(ordinary + forced):
                self._spawn_one(forced=number >= ordinary)
        except ForkError as error:
            logger.error("no new worker", extra={"reason": str(error)})
            self._pool.spawn_failed(now)

    def _spawn_one(self, forced: bool) -> None:
        worker_id, hands = ObjectId(), Hands()
        settings = self._link.settings
        factory = self._factory

        def main() -> int:
            settings.limits.impose()
            worker: Worker = factory.build_worker(worker_id)
            return worker.process_all(
                hands.inbox, hands.slot, settings.progress_limit, settings.max_payload, settings.limits
            )

        pid = spawn(main, title="ts-worker", keep=[hands.inbox.fileno()], die_with_parent=True)
        self._hands[pid] = hands
        member = self._pool.spawned(worker_id.binary, pid, forced)
        self._selector.register(hands.end, selectors.EVENT_READ, self._reader(member))
        self._up.push(messages.notice(Kind.WORKER, event="worker_spawn", worker=worker_id, pid=pid))

    def _reader(self, member: Member) -> Callable[[], None]:
        return lambda: self._from_worker(member)

    def _from_worker(self, member: Member) -> None:
        now = self._clock.monotonic()
        for message in wire.drain(self._hands[member.pid].end):
            kind = messages.kind_of(message)
            if kind == Kind.READY:
                self._ready(member, now)
            elif kind == Kind.PROGRESS:
                if member.background:  # which leave nothing in the slot
                    self._async.alive(member, Report.decode(message).job_id, now)
                else:
                    self._hands[member.pid].talks = True
                    self._talk_at = min(self._talk_at, now + self._link.settings.progress_limit)
                self._up.push(message)
            elif kind == Kind.REPORT:
                self._ended(member, message, now)

    def _ready(self, member: Member, now: float) -> None:
        self._pool.ready(member, now)
        if self._pool.options.worker_max_growth:
            member.resident = own_memory(member.pid) or 0

    def _ended(self, member: Member, message: bytes, now: float) -> None:
        if member.doom is not None and member.serves:
            self._hands[member.pid].let_go()  # it ends as it was asked to, and counts as what it was asked for
            return
        report = Report.decode(message)
        if member.background and self._async.ended(member, report, message, self._up.push):
            member.since = now
        else:
            run = self._pool.ended(member, report.job_id, report.attempt, report.seconds, now)
            self._hands[member.pid].talks = False
            if run is None:
                logger.error("report of an attempt that the worker was not given", extra={"worker": member.id.hex()})
                return
            self._up.push(message)
            self._let_restart(run)
        if to_measure(self._pool, member, now) and outgrown(self._pool, member, own_memory(member.pid), now):
            self._retire(member, now)
        elif member.leaving:
            self._leave(member)

    def _leave(self, member: Member) -> None:
        """Give a worker no more jobs; one that has none ends now."""
        member.leaving = True
        if not member.runs and not member.background and member.doom is None:
            self._hands[member.pid].let_go()

    def _tell_worker(self, member: Member, message: bytes) -> None:
        self._hands[member.pid].tell(message)

    def _retire(self, member: Member, now: float) -> None:
        """Let a worker end after the job that it runs; others make what it was given ahead."""
        self._take_back(member, now)
        self._leave(member)

    def _assign(self, now: float) -> None:
        for member, run in self._pool.assignments():
            if not self._hands[member.pid].give(run):
                self._pool.put_back([run], now)
                break
            self._pool.began(member, run, now)
        victim = self._pool.victim()
        if victim is not None:
            self._take_back(victim, now)
            if self._pool.waiting:
                self._assign(now)

    def _take_back(self, member: Member, now: float, dead: bool = False) -> None:
        """Take from a worker what it was handed and has not begun; an event loop begins everything at once."""
        if member.background and not dead:
            return
        runs = self._hands[member.pid].take_back()
        if runs:
            self._pool.taken_back(member, runs, now)

    # -- deadlines --------------------------------------------------------------------------------------------------

    def _keep_deadlines(self, now: float) -> None:
        for member in list(self._pool.members.values()):
            if now >= member.kill_at:
                kill_tree(member.pid)
                member.kill_at = now + 1.0  # until it is reaped
            elif now >= member.interrupt_at:
                member.interrupt_at = _FOREVER
                signal_group(member.pid, signal.SIGTERM)
            elif now >= member.times_out_at():
                self._doom(member, Doom.TIMED_OUT, now)
            elif now >= member.silent_at():
                self._check_silence(member, now)
            if now >= member.alarm:
                self._async.keep_deadlines(member, now)
        for member in to_retire(self._pool, now):
            self._retire(member, now)
        if now >= self._stop_at:
            self._stop_at = _FOREVER
            for member in list(self._pool.members.values()):
                self._doom(member, Doom.RETURNED, now)
                if member.serves:
                    member.hurry(now, self._link.settings.kill_grace)
        if now >= self._lease_until and self._pool.holds():
            self._lose_lease(now)
        self._hand_back_stale(now)
        self._give_account(now)
        if now >= self._strangers_at:
            self._kill_strangers(now)

    def _check_silence(self, member: Member, now: float) -> None:
        """A job may have given signs of life since the last look: they are left where they cost nothing."""
        member.alive_at = self._hands[member.pid].slot.touched()
        if now >= member.silent_at():
            self._doom(member, Doom.SILENT, now)

    def _doom(self, member: Member, doom: Doom, now: float) -> None:
        """End what a worker runs, and the worker with it: SIGTERM now, SIGKILL after the grace time.

        A service that is stopped is asked to end first, and has the time that it was promised.
        """
        if member.background:
            self._async.end_all(member, doom, now)
            return
        run = member.running
        self._take_back(member, now)
        self._from_worker(member)  # the end of the job may have been on its way
        if member.running is not run or member.doom is not None:
            return
        member.doom = doom
        self._hands[member.pid].slot.verdict = doom.status
        if run is not None and member.serves and doom in (Doom.CANCELED, Doom.RETURNED):
            member.asked(run, now)
            kill(member.pid, signal.SIGTERM)
            return
        member.kill_at = now + self._link.settings.kill_grace
        signal_group(member.pid, signal.SIGTERM)

    def _lose_lease(self, now: float) -> None:
        """The node could not renew its lease in time: other nodes may take the jobs, so nothing may run here."""
        if self._lapsed_at != self._lease_until:  # once a lapse: this is called until the last worker is gone
            self._lapsed_at = self._lease_until
            logger.error("lease not renewed in time; killing all jobs")
        self._hand_back_waiting()
        for member in list(self._pool.members.values()):
            self._take_back(member, now)
            if member.runs or member.background:
                kill_tree(member.pid)
        self._hand_back_waiting()

    def _hand_back_stale(self, now: float) -> None:
        if self._pool.stale_async(now):
            self._hand_back_waiting(self._pool.asynchronous.drain())
        stuck = self._pool.stale(now)
        if stuck is None:
            return
        for member in stuck:
            self._take_back(member, now)
        self._hand_back_waiting()

    def _give_account(self, now: float) -> None:
        if now >= self._talk_at:
            self._read_slots(now)
        if now < self._held_at + _HELD_EVERY or not self._pool.holds():
            return
        self._held_at = now
        self._up.push(messages.held(account(self._pool, now)))

    def _read_slots(self, now: float) -> None:
        """Pass on the signs of life that workers left in their slots since the last look."""
        for pid, member in self._pool.members.items():
            content, run = self._hands[pid].news(), member.running
            if content is not None and run is not None:
                note = Report(Kind.PROGRESS, Ending.SUCCEEDED, run.job_id, run.attempt, member.id, 0.0, content)
                self._up.push(note.encode())
        talking = any(hands.talks for hands in self._hands.values())
        self._talk_at = now + self._link.settings.progress_limit if talking else _FOREVER

    # -- ends of workers --------------------------------------------------------------------------------------------

    def _signaled(self) -> None:
        numbers = self._signals.read()
        if signal.SIGTERM in numbers:
            self._stop(self._clock.monotonic() + self._link.settings.stop_timeout)
        for ended in reap():
            self._worker_ended(ended)
        self._kill_strangers(self._clock.monotonic())

    def _worker_ended(self, ended: Exit) -> None:
        member = self._pool.members.get(ended.pid)
        if member is None:
            return
        now = self._clock.monotonic()
        self._from_worker(member)
        self._take_back(member, now, dead=True)
        self._pool.gone(ended.pid, now)
        hands = self._hands.pop(ended.pid)
        self._selector.unregister(hands.end)
        hands.close()
        if member.running is not None:
            self._bury(member, member.running, ended, now)
        self._async.bury(member, ended, now)
        if self._pool.stopping:
            self._hand_back_waiting()
        facts = {"worker": ObjectId(member.id), "pid": ended.pid, "exit": str(ended)}
        self._up.push(messages.notice(Kind.WORKER, event="worker_kill", **facts))

    def _bury(self, member: Member, run: Run, ended: Exit, now: float) -> None:
        """Say how the job ended that a worker took with it."""
        if member.doom is Doom.CANCELED:
            self._let_restart(run)
        else:
            ending, error = obituary(run, member.doom, ended, self._link.settings.limits.cpu)
            # whether the job wants to be notified only a worker could tell: in doubt it is
            hook = {"hook": True} if ending is Ending.FAILED else {}
            self._report(ending, run, member.id, now - member.since, error=error, **hook)

    def _kill_strangers(self, now: float) -> None:
        """Children that are no workers are orphans of dead ones; look again until none is left."""
        more = kill_adopted(set(self._pool.members))
        self._strangers_at = now + _STRANGERS_EVERY if more else _FOREVER

    def _kill_all(self) -> None:
        for pid in self._pool.members:
            kill_tree(pid)
        kill_adopted(set())
