"""One connected life of a node: from a fork of the manager until a stop, a dead manager or a lost lease."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from bson import ObjectId
from pymongo.errors import PyMongoError

from taskscheduler.clock import Clock
from taskscheduler.lifecycle import Ending, Status
from taskscheduler.scheduler import Scheduler
from taskscheduler.store.attempts import Fence
from taskscheduler.store.followup import HOOK
from taskscheduler_daemon import messages
from taskscheduler_daemon.caretaker import Caretaker, Heart
from taskscheduler_daemon.channel import Receiver, Sender
from taskscheduler_daemon.claimer import Claimer
from taskscheduler_daemon.departures import Departures
from taskscheduler_daemon.follower import Follower
from taskscheduler_daemon.ledger import Attempt, Ledger, finish_of, hook_run
from taskscheduler_daemon.link import Link, writable
from taskscheduler_daemon.lost import Watch
from taskscheduler_daemon.messages import NO_WORKER, Kind, Report
from taskscheduler_daemon.options import NodeOptions
from taskscheduler_daemon.process import ended, kill_tree, reap_strangers
from taskscheduler_daemon.strays import Strays
from taskscheduler_daemon.wakeup import Signals
from taskscheduler_daemon.writer import Writer

logger = logging.getLogger(__name__)

_RATE_EVERY = 0.1
_MENTIONS_ASYNC = b"\x08async\0"  #: in a report, as BSON; its content is not decoded for nothing
_REMEMBER_WOKEN = 100
_REMEMBER_STOPPED = 5.0  #: seconds; no claim takes longer to read back
_STOP_MARGIN = 5.0  #: seconds beyond stop_timeout after which a manager that does not end is killed


class End(Enum):
    """Why a session ended."""

    STOPPED = auto()
    MANAGER_DIED = auto()
    LEASE_LOST = auto()
    BROKEN = auto()  #: no worker can be built
    CRASHED = auto()  #: a thread of the node ended by an exception that nobody expected


class Session:
    """Connects a manager that has been forked to the database, and runs the node's main loop."""

    def __init__(
        self,
        scheduler: Scheduler,
        options: NodeOptions,
        link: Link,
        manager: int,
        signals: Signals,
        worker_event: Callable[[dict[str, Any]], None],
        clock: Clock,
        jobs_left: int,
    ) -> None:
        self._options = options
        self._link = link
        self._manager = manager
        self._signals = signals
        self._worker_event = worker_event
        self._clock = clock
        self._boot = ObjectId()
        self._down, self._up = Sender(link.down), Receiver(link.up)
        self._ledger = Ledger()
        self._store = scheduler.store
        self._departures = Departures(scheduler.store)
        self._workers: dict[ObjectId, dict[str, Any]] = {}
        self._pm = ""
        self._end: End | None = None
        self._manager_died = False  #: without having said that it stops
        self._stopping = 0  #: how many signals asked for it
        self._kill_at = float("inf")
        self._woken_ids: deque[ObjectId] = deque(maxlen=_REMEMBER_WOKEN)  #: jobs whose message is still to come
        self._hooks: set[bytes] = set()  #: ended jobs whose notification a worker is to call
        self._stopped_ids: dict[ObjectId, float] = {}  #: jobs that were lately cancelled, ours or not
        self._ended_as: Counter[Ending] = Counter()  #: attempts that ended here
        lease = options.orphaned_timeout or self._store.options.orphaned_timeout
        self._lease = float(lease)
        self._build(jobs_left)

    def _build(self, jobs_left: int) -> None:
        store, options, clock, crashed = self._store, self._options, self._clock, self._crashed
        self._claimer = Claimer(
            store,
            self._ledger,
            self._boot,
            options.name,
            options.queues,
            self._hand_on,
            crashed,
            clock,
            jobs_left,
            self._lease,
        )
        self._writer = Writer(store, options.name, self._call_hook, crashed, clock)
        self._heart = Heart(
            store, self._boot, self._lease, self._facts, self._renewed, self._lease_lost, crashed, clock
        )
        self._caretaker = Caretaker(
            store,
            self._ledger,
            Watch(self._lease),
            self._boot,
            self._claimer.look_everywhere,
            self._claimer.idle,
            self._cancel,
            self._missing,
            Strays(self._claimer.unsettled, self._writer.mark),
            self._call_hook,
            options.max_lost,
            self._lease,
            crashed,
            clock,
        )
        self._follower = Follower(store, self._claimer.idle, self._heard, self._missed, crashed)

    @property
    def finished(self) -> int:
        """How many attempts have ended here."""
        return self._ended_as.total()

    # -- life -------------------------------------------------------------------------------------------------------

    def run(self) -> End:
        """Serve until something ends this session."""
        self._follower.start()  # before the first look at the store, so that nothing added in between is missed
        self._heart.start()
        self._writer.start()
        self._claimer.start()
        self._caretaker.start()
        logger.info("node ready", extra={"node": self._options.name, "boot": str(self._boot), "pid": os.getpid()})
        selector = selectors.DefaultSelector()
        selector.register(self._link.up, selectors.EVENT_READ)
        selector.register(self._signals, selectors.EVENT_READ)
        writing = False
        while self._end is None:
            stuck = not self._down.flush()
            if stuck != writing:
                down = writable(self._link.down)
                selector.register(down, selectors.EVENT_WRITE) if stuck else selector.unregister(down)
                writing = stuck
            ready = selector.select(min(_RATE_EVERY if len(self._ledger) else 60.0, self._until_kill()))
            self._step(any(key.fileobj is self._signals for key, _ in ready))
        selector.close()
        return self._end

    def _step(self, signaled: bool) -> None:
        for message in self._up.receive():
            self._from_manager(message)
        self._ledger.rate(self._clock.monotonic())
        self._claimer.slots_free()
        for number in self._signals.read() if signaled else ():
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stop()
            elif number == signal.SIGHUP:
                self._down.push(messages.timed(Kind.RECYCLE, 0.0))
            elif number == signal.SIGCHLD:
                self._check_manager()
                reap_strangers(known=self._manager)
        if self._claimer.exhausted and not len(self._ledger) and not self._stopping:
            self.stop()
        if self._clock.monotonic() >= self._kill_at:
            logger.error("the worker manager does not end; killing it")
            self._kill_at = float("inf")
            kill_tree(self._manager)

    def _until_kill(self) -> float:
        return max(0.0, min(60.0, self._kill_at - self._clock.monotonic()))

    def stop(self) -> None:
        """Finish gracefully; the second time, at once."""
        self._stopping += 1
        if self._stopping == 1:
            logger.info("node stops", extra={"node": self._options.name, "running": len(self._ledger)})
            threading.Thread(target=self._stop_claiming, name="taskscheduler-stop").start()
        else:
            self._down.push(messages.timed(Kind.STOP, 0.0), first=True)
            self._kill_at = self._clock.monotonic() + self._options.kill_grace + 1.0

    def _stop_claiming(self) -> None:
        """First no more claims, then the word to the manager: it hands back all that it has not begun."""
        self._claimer.stop()
        self._down.push(messages.timed(Kind.STOP, self._options.stop_timeout))
        self._kill_at = self._clock.monotonic() + self._options.stop_timeout + _STOP_MARGIN
        self._signals.wake()

    def _check_manager(self) -> None:
        """If the manager has ended: what it sent before is still to be read."""
        how = ended(self._manager)
        if how is None:
            return
        for message in self._up.receive(most_frames=1_000_000):
            self._from_manager(message)
        if self._end is None:
            logger.error("the worker manager died", extra={"manager": self._manager, "how": str(how)})
            self._manager_died = True
            self._end = End.STOPPED if self._stopping else End.MANAGER_DIED

    def close(self) -> None:
        """Hand back what is left, write everything, let go of the database."""
        if self._end in (None, End.CRASHED):
            kill_tree(self._manager)  # nothing may run any more when it is handed back
        self._claimer.stop()
        self._follower.stop()
        self._caretaker.stop()
        if self._end is not End.LEASE_LOST:
            self._hand_back_rest()
        self._writer.stop(give_up=self._end is End.LEASE_LOST)
        self._heart.stop()
        try:
            if not self._store.claims.held_by(self._boot):
                self._store.nodes.remove(self._boot)
        except PyMongoError as error:
            logger.warning("node not signed off", extra={"reason": str(error)[:200]})

    def _hand_back_rest(self) -> None:
        """Nobody works on these any more: the manager is gone, with whatever it did not report."""
        self._departures.all_gone()
        error = {"type": "WorkerLostError", "message": "the worker manager died while it held the job"}
        for attempt in self._ledger.clear():
            ending = Ending.LOST if self._manager_died else Ending.RETURNED
            self._writer.put(finish_of(attempt, _made_up(attempt, ending, error), self._options.max_lost))

    # -- messages ---------------------------------------------------------------------------------------------------

    def _from_manager(self, message: bytes) -> None:
        kind = messages.kind_of(message)
        if kind == Kind.REPORT:
            self._ended(Report.decode(message))
        elif kind == Kind.PROGRESS:
            self._progressed(Report.decode(message))
        elif kind == Kind.HELD:
            self._account(messages.held_entries(message))
        elif kind == Kind.POOL:
            self._pool_is(messages.facts_of(message))
        elif kind == Kind.WORKER:
            self._worker_changed(messages.facts_of(message))
        elif kind == Kind.BROKEN:
            self._end = End.BROKEN
        elif kind == Kind.GONE:
            self._departures.gone(*messages.gone_attempt(message))
        elif kind == Kind.STOPPED:
            self._end = End.STOPPED

    def _pool_is(self, facts: dict[str, Any]) -> None:
        """The manager says it again and again, as its first word may be lost."""
        if (self._pm, self._ledger.slots) == (facts["pm"], facts["slots"]):
            return
        self._pm = facts["pm"]
        self._ledger.set_slots(facts["slots"], facts["async_jobs"])
        self._claimer.look_everywhere()
        self._heart.beat_now()

    def _ended(self, report: Report) -> None:
        attempt = self._ledger.take(report.job_id, report.attempt)
        if attempt is None:
            self._hook_ended(report)  # or that of a job which was cancelled
            return
        if report.ending is Ending.UNSTARTED:
            self._claimer.give_back(1)
            if not attempt.is_async:
                self._ledger.stalled()
        else:
            if not attempt.is_async:
                self._ledger.learn(report.seconds)
            self._ended_as[report.ending] += 1
        if attempt.exclusive:
            self._departures.ended(attempt)
        if _MENTIONS_ASYNC in report.body and report.content().get("async"):
            self._ledger.learn_async(attempt.job["class"])
        self._writer.put(finish_of(attempt, report, self._options.max_lost))

    def _progressed(self, report: Report) -> None:
        content = report.content()
        attempt = self._ledger.get(report.job_id)
        if attempt is None or (content.get("id"), content.get("attempt")) != (
            attempt.fence.job_id,
            attempt.fence.attempt,
        ):
            return
        said: dict[str, Any] = {key: content[key] for key in ("progress", "message") if key in content}
        said["worker"] = report.worker.hex()
        attempt.noted = self._clock.monotonic()
        self._writer.put((attempt.fence, said, attempt.parent))

    def _account(self, entries: list[messages.Held]) -> None:
        now = self._clock.monotonic()
        for entry in entries:
            attempt = self._ledger.get(entry.job_id.binary)
            if attempt is not None and attempt.fence.attempt == entry.attempt:
                attempt.seen_at, attempt.worker, attempt.seconds = now, entry.worker, entry.seconds
        # what is not ours any more was to be killed: the message may be lost
        self._kill([entry.job_id for entry in entries if self._ledger.get(entry.job_id.binary) is None])

    def _worker_changed(self, facts: dict[str, Any]) -> None:
        if facts["event"] == "worker_spawn":
            self._workers[facts["worker"]] = {"id": str(facts["worker"]), "pid": facts["pid"]}
        else:
            self._workers.pop(facts["worker"], None)
        self._worker_event(facts)

    # -- what the threads ask for -----------------------------------------------------------------------------------

    def _hand_on(self, attempts: list[Attempt]) -> None:
        late = [attempt for attempt in attempts if attempt.fence.job_id in self._stopped_ids]
        for attempt in late:  # cancelled after they were read back and before we knew them
            self._forget(attempt.fence.job_id)
            self._departures.gone(attempt.fence.job_id.binary, attempt.fence.attempt)
        attempts = [attempt for attempt in attempts if attempt not in late] if late else attempts
        self._down.push(*(attempt.run().encode() for attempt in attempts))
        if not self._down.flush():
            self._signals.wake()  # the main loop waits for room

    def _cancel(self, ids: list[ObjectId]) -> None:
        now = self._clock.monotonic()
        self._stopped_ids = {key: at for key, at in self._stopped_ids.items() if now - at < _REMEMBER_STOPPED}
        self._stopped_ids |= dict.fromkeys(ids, now)
        ours = [job_id for job_id in ids if self._forget(job_id)]
        self._kill(ours)
        for job_id in set(ids).difference(ours):
            self._departures.canceled(job_id.binary)

    def _kill(self, ids: list[ObjectId]) -> None:
        """Not before the runs that wait to be sent: the manager must know a job to kill it."""
        if ids:
            self._down.push(messages.cancel(ids))
            self._signals.wake()

    def _forget(self, job_id: ObjectId) -> bool:
        attempt = self._ledger.get(job_id.binary)
        if attempt is None or self._ledger.take(job_id.binary, attempt.fence.attempt) is None:
            return False
        self._departures.expect(attempt)
        return True

    def _missing(self, fence: Fence) -> None:
        """An attempt that the manager does not know: a message was lost. Whether it ran is not known either."""
        attempt = self._ledger.take(fence.job_id.binary, fence.attempt)
        if attempt is None:
            return  # its end has come in the meantime
        self._kill([fence.job_id])  # a manager that only did not answer may still have it
        error = {"type": "WorkerLostError", "message": "the worker manager lost track of the job"}
        self._writer.put(finish_of(attempt, _made_up(attempt, Ending.LOST, error), self._options.max_lost))

    def _woken(self, job: dict[str, Any]) -> None:
        """A job that wakes us itself."""
        self._woken_ids.append(job["_id"])
        later, forced = job["status"] == Status.POSTPONED, job["options"]["force_spawn"] or "async" in job
        self._claimer.heard([job["_id"]], [job["queue"]], forced, later)
        if later:
            self._caretaker.look_for_due()

    def _hook_ended(self, report: Report) -> None:
        """A notification that no worker had time for is owed again: here, or by another node."""
        if report.job_id in self._hooks and report.ending is Ending.UNSTARTED:
            try:
                self._store.follow_up.owe(ObjectId(report.job_id), HOOK)
            except PyMongoError as error:
                logger.error("notification lost", extra={"job": report.job_id.hex(), "reason": str(error)[:200]})
        self._hooks.discard(report.job_id)

    def _call_hook(self, job_id: ObjectId) -> None:
        """Have a worker call the notification of an ended job, if nobody else has taken that on."""
        if self._stopping or not self._store.follow_up.paid(job_id, HOOK):
            return
        document = self._store.claims.ended(job_id)
        if document is not None:
            self._hooks.add(job_id.binary)
            self._down.push(hook_run(document).encode())
            self._signals.wake()

    def _renewed(self, until: float) -> None:
        self._claimer.renewed(until)
        self._down.push(messages.timed(Kind.LEASE, until), first=True)
        self._signals.wake()

    def _lease_lost(self) -> None:
        logger.error("another node has taken over the jobs of this one", extra={"node": self._options.name})
        self._end = End.LEASE_LOST
        self._signals.wake()

    def _crashed(self) -> None:
        self._end = End.CRASHED
        self._signals.wake()

    def _facts(self) -> dict[str, Any]:
        placed = [(attempt.worker, attempt) for attempt in self._ledger.all() if attempt.worker is not None]
        running, several = dict(placed), Counter(worker for worker, _ in placed)
        workers = [
            {**facts, "job": running[worker].fence.job_id, "seconds": running[worker].seconds, "jobs": several[worker]}
            if worker in running
            else {**facts, "job": None, "seconds": 0.0, "jobs": 0}
            for worker, facts in list(self._workers.items())
        ]
        return {
            "name": self._options.name,
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "pm": self._pm,
            "slots": self._ledger.slots,
            "queues": list(self._options.queues),
            "lease": self._lease,
            "busy": self._ledger.busy,
            "running": len(self._ledger),
            "ended": {ending.name.lower(): count for ending, count in list(self._ended_as.items())},
            "workers": workers,
        }

    def _missed(self) -> None:
        """Jobs may have been added or cancelled without our hearing of it."""
        self._claimer.look_everywhere()
        self._caretaker.look_for_due()

    def _heard(self, message: dict[str, Any]) -> None:
        if "stop" in message:
            self._cancel(message["stop"])
            return
        if message.get("wake"):
            self._woken(message)
            return
        for job_id in message.get("jobs", ()):
            self._stopped_ids.pop(job_id, None)  # cancelled, and then put back
        later = bool(message.get("later", True))
        if not later and set(message.get("jobs", ())) <= set(self._woken_ids):
            return  # these jobs came before their message; what is re-armed always says `later`
        self._claimer.heard(message.get("jobs", ()), message.get("queues", ()), message.get("forced", True), later)
        if later:
            self._caretaker.look_for_due()


def _made_up(attempt: Attempt, ending: Ending, error: dict[str, Any]) -> Report:
    """A report for an attempt of which nobody can tell any more how it ended."""
    fence = attempt.fence
    body = messages.body(error=error)
    return Report(Kind.REPORT, ending, fence.job_id.binary, fence.attempt, NO_WORKER, 0.0, body)
