"""Stand-ins for what the parts of a node are built on: a clock, a store, a manager, and threads that must not crash."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from taskscheduler.clock import ServerClock
from taskscheduler.model.control.controls import Controls
from taskscheduler.model.control.keys import GroupList, first_list, read_group_list
from taskscheduler.model.control.limits import Limit
from taskscheduler.model.control.urgency import UrgentJob
from taskscheduler.model.lifecycle import Ending, Transition
from taskscheduler.model.metrics.counts import Room, Series
from taskscheduler.model.metrics.tally import Portion
from taskscheduler.model.options import JobOptions, SchedulerOptions
from taskscheduler.model.payload import CODEC
from taskscheduler.store import Store
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import QuickEnd
from taskscheduler.store.claimed_job import ClaimedJob
from taskscheduler.store.claims import WAITING, WAITING_OR_IN_TURN, Claimable, Scope
from taskscheduler.store.completions import Sign
from taskscheduler.store.control.admission import Refused
from taskscheduler.store.control.group_lists import Part
from taskscheduler.store.control.rates import Granted
from taskscheduler.store.fence import Fence
from taskscheduler.store.nodes import Beat
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.ipc.messages import Kind, Report, Run, body
from taskscheduler_daemon.node.state.in_flight import Attempt
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.system.threads import SessionThreads

WORKER = ObjectId()


SERVER_NOW = datetime(2026, 1, 2, tzinfo=UTC)

PARKED_AT = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """A clock that stands still until it is set."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def pause(self, seconds: float) -> None:
        self.seconds += seconds


class Faults:
    """Notes the calls of a store, and raises what it is told to in place of an answer."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._raised: dict[str, list[Exception]] = defaultdict(list)

    def fail(self, call: str, *errors: Exception) -> None:
        """The next calls of this name raise these."""
        self._raised[call] += errors

    def note(self, call: str) -> None:
        self.calls.append(call)
        if self._raised[call]:
            raise self._raised[call].pop(0)


class FakeClaims:
    """Waiting jobs that can be claimed."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.waiting: dict[ObjectId, dict[str, Any]] = {}
        self.in_groups: dict[ObjectId, dict[str, Any]] = {}  #: jobs that wait for the turn of their group
        self.behind: dict[ObjectId, dict[str, Any]] = {}  #: jobs that come after others
        self.got: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[list[ObjectId]] = []
        self.released: list[str] = []
        self.released_fences: list[Fence] = []
        self.documents: dict[ObjectId, RawBSONDocument] = {}
        self.odd: list[dict[str, Any]] = []
        self.overdue_ids: set[ObjectId] = set()

    def overdue(self, scope: Scope, names: Sequence[str], seconds: float, count: int) -> list[dict[str, Any]]:
        self._faults.note("claims.overdue")
        found = self._within(replace(scope, unknown=()))
        return [job for job in found if job["_id"] in self.overdue_ids and job["class"] in names][:count]

    def _within(self, scope: Scope) -> list[dict[str, Any]]:
        return [
            job
            for job in list(self.waiting.values())  # claims are under way in other threads
            if (scope.queues is None or job["queue"] in scope.queues)
            and job["queue"] not in scope.but_queues
            and job["class"] not in scope.unknown
        ]

    def add(self, count: int = 1, **fields: Any) -> list[ObjectId]:
        added = [job_document(**fields) for _ in range(count)]
        self.waiting |= {job["_id"]: job for job in added}
        return [job["_id"] for job in added]

    def add_to_group(self, group: str, count: int = 1, **fields: Any) -> list[ObjectId]:
        jobs = [job_document(group=group, parked_at=PARKED_AT, **fields) for _ in range(count)]
        self.in_groups |= {job["_id"]: {**job, "blocked": first_list(job)} for job in jobs}
        return [job["_id"] for job in jobs]

    def without_queue(self) -> list[dict[str, Any]]:
        return self.odd

    def queues(self) -> list[str]:
        self._faults.note("claims.queues")
        return sorted({job["queue"] for job in self.waiting.values()})

    def candidates(
        self, scope: Scope, count: int, after: object = None, but_async: bool = False, but_forced: bool = False
    ) -> list[dict[str, Any]]:
        self._faults.note("claims.candidates")
        found = [job for job in self._within(scope) if not (but_forced and job["options"]["force_spawn"])]
        return [job for job in found if not (but_async and "async" in job)][:count]

    def forced(self, scope: Scope, count: int) -> list[dict[str, Any]]:
        self._faults.note("claims.forced")
        return [job for job in self._within(scope) if job["options"]["force_spawn"]][:count]

    def asynchronous(self, scope: Scope, count: int) -> list[dict[str, Any]]:
        self._faults.note("claims.asynchronous")
        return [job for job in self._within(scope) if "async" in job][:count]

    def next_kinds(self, scope: Scope, count: int) -> list[dict[str, Any]]:
        self._faults.note("claims.next_kinds")
        return self._within(scope)[:count]

    def claim(
        self, ids: Sequence[ObjectId], claim: str, boot: ObjectId, node: str, claimable: Claimable = WAITING
    ) -> int:
        self.asked.append(list(ids))
        lists = {id(WAITING): [self.waiting], id(WAITING_OR_IN_TURN): [self.waiting, self.in_groups]}
        follows = "parked_at" in claimable.query
        held = lists.get(id(claimable), [self.behind if follows else self.waiting])
        self.got[claim] = [jobs.pop(job_id) for job_id in ids for jobs in held if job_id in jobs]
        self._faults.note("claims.claim")  # carried out although it raises
        return len(self.got[claim])

    def claim_one(
        self, job_id: ObjectId, scope: Scope, claim: str, boot: ObjectId, node: str, claimable: Claimable = WAITING
    ) -> list[ClaimedJob]:
        self.asked.append([job_id])
        job = self.waiting.get(job_id)
        if job is not None and (job not in self._within(scope) or job["class"] in scope.but_classes):
            job = None
        self.waiting.pop(job_id if job is not None else ObjectId(), None)
        self._faults.note("claims.claim_one")
        return [] if job is None else [claimed(job)]

    def claimed(self, claim: str, boot: ObjectId) -> list[ClaimedJob]:
        self._faults.note("claims.claimed")
        return [claimed(job) for job in reversed(self.got[claim])]

    def raw_document(self, job_id: ObjectId) -> RawBSONDocument | None:
        self._faults.note("claims.raw_document")
        return self.documents.get(job_id)

    def release_claim(self, claim: str, boot: ObjectId) -> int:
        self._faults.note("claims.release_claim")
        self.released.append(claim)
        return 0

    def release(self, fence: Fence) -> bool:
        self._faults.note("claims.release")
        self.released_fences.append(fence)
        return True


class FakeGroupLists:
    """The lists of groups."""

    def __init__(self, faults: Faults, claims: FakeClaims, admission: FakePlaces) -> None:
        self._faults = faults
        self._claims = claims
        self._admission = admission

    def waiting(self, queues: Sequence[str] | None = None) -> list[GroupList]:
        self._faults.note("group_lists.waiting")
        found = [read_group_list(job["blocked"]) for job in self._jobs()]
        return [one for one in dict.fromkeys(found) if one is not None and (queues is None or one.queue in queues)]

    def heads(self, parts: Mapping[GroupList, Part], passing: Mapping[str, Any]) -> dict[GroupList, list[Any]]:
        self._faults.note("group_lists.heads")
        return {one: self._part(one, part) for one, part in parts.items()}

    def _jobs(self) -> list[dict[str, Any]]:
        return [job for job in self._claims.in_groups.values() if job["_id"] not in self._admission.moved]

    def _part(self, one: GroupList, part: Part) -> list[dict[str, Any]]:
        jobs = [{**job, "at": job["parked_at"]} for job in self._jobs() if job["blocked"] == one.key]
        return [job for job in jobs if part.after is None or (job["at"], job["_id"]) > part.after][: part.most]

    def give_up(self, names: Sequence[str], seconds: float) -> None:
        self._faults.note("group_lists.give_up")


class FakeLeases:
    """The attempts that the database counts as running on nodes."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.held: dict[ObjectId, list[Fence]] = defaultdict(list)
        self.absolved: list[Fence] = []

    def absolve(self, fences: Sequence[Fence]) -> None:
        self._faults.note("leases.absolve")
        self.absolved += fences

    def still_held(self, fences: Sequence[Fence]) -> set[ObjectId]:
        self._faults.note("leases.still_held")
        held = {fence for fences in self.held.values() for fence in fences}
        return {fence.job_id for fence in fences if fence in held}

    def held_by(self, boot: ObjectId) -> list[Fence]:
        self._faults.note("leases.held_by")
        return list(self.held[boot])

    def owners(self) -> set[ObjectId]:
        self._faults.note("leases.owners")
        return {boot for boot, fences in self.held.items() if fences}

    def jobs_of(self, boot: ObjectId, queue: str | None = None) -> list[dict[str, Any]]:
        self._faults.note("leases.jobs_of")
        jobs = [job_document(_id=fence.job_id, attempt=fence.attempt) for fence in self.held[boot]]
        return [{**job, "claim": fence.claim} for job, fence in zip(jobs, self.held[boot], strict=True)]


class FakeCompletions:
    """What was written about attempts; the fences of `fenced` are refused."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.written: list[Completion] = []
        self.batches: list[int] = []
        self.fenced: set[ObjectId] = set()
        self.reports: list[Sign] = []

    def write(self, completions: Sequence[Completion], quick: Sequence[QuickEnd] = ()) -> int:
        self._faults.note("completions.write")
        every = [*completions, *(one.completion() for one in quick)]
        landed = [replace(one) for one in every if one.fence.job_id not in self.fenced]
        self.written += landed
        self.batches.append(len(every))
        return len(landed)

    def confirmed(self, completions: Sequence[Completion]) -> set[ObjectId]:
        self._faults.note("completions.confirmed")
        return {one.fence.job_id for one in completions} - self.fenced

    def progress(self, reports: Sequence[Sign]) -> None:
        self._faults.note("completions.progress")
        self.reports += reports


class FakeNodes:
    """The register of nodes."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.registered: dict[ObjectId, dict[str, Any]] = {}
        self.lost: list[ObjectId] = []
        self.drains = False
        self.beats: list[Mapping[str, Any]] = []

    def register(self, boot: ObjectId, facts: Mapping[str, Any]) -> None:
        self._faults.note("nodes.register")
        self.registered[boot] = {"_id": boot, "silent": 0.0, "beat": 0, **facts}

    def beat(self, boot: ObjectId, facts: Mapping[str, Any]) -> Beat | None:
        self._faults.note("nodes.beat")
        self.beats.append(facts)
        return None if boot in self.lost else Beat(SERVER_NOW, self.drains)

    def all(self) -> list[dict[str, Any]]:
        self._faults.note("nodes.all")
        return list(self.registered.values())

    def declare_lost(self, boot: ObjectId, beat: int) -> bool:
        self._faults.note("nodes.declare_lost")
        if self.registered[boot]["beat"] != beat:
            return False
        self.lost.append(boot)
        return True

    def remove(self, boot: ObjectId) -> None:
        self._faults.note("nodes.remove")
        self.registered.pop(boot, None)


class FakeDueJobs:
    """Postponed jobs, and the seconds until the next one is due."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.left: float | None = None
        self.due: list[ObjectId] = []
        self.promoted: list[ObjectId] = []
        self.odd: list[dict[str, Any]] = []

    def never_due(self) -> list[dict[str, Any]]:
        return self.odd

    def seconds_until_next(self) -> float | None:
        self._faults.note("postponed_jobs.seconds_until_next")
        return self.left

    def find(self) -> list[ObjectId]:
        self._faults.note("postponed_jobs.find")
        return list(self.due)

    def promote(self, ids: Sequence[ObjectId]) -> int:
        self._faults.note("postponed_jobs.promote")
        self.promoted += ids
        return len(ids)


class FakeLateJobs:
    """Jobs that have to begin in time, and the seconds until the next one is late."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.left: float | None = None
        self.late: list[dict[str, Any]] = []
        self.ended: list[tuple[ObjectId, Transition]] = []

    def seconds_until_next(self) -> float | None:
        self._faults.note("late_jobs.seconds_until_next")
        return self.left

    def find(self) -> list[dict[str, Any]]:
        self._faults.note("late_jobs.find")
        return list(self.late)

    def end(self, job: Mapping[str, Any], move: Transition, error: Mapping[str, Any] | None) -> Mapping[str, Any]:
        self._faults.note("late_jobs.end")
        self.ended.append((job["_id"], move))
        return job


class FakeJobs:
    """Jobs as they are stored."""

    def __init__(self) -> None:
        self.stored: dict[ObjectId, dict[str, Any]] = {}

    def get(self, job_id: ObjectId) -> dict[str, Any] | None:
        return self.stored.get(job_id)


class FakePlaces:
    """Places of controlled jobs, and the processes of services: what was said of them."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.released: list[Fence] = []
        self.extended: list[Fence] = []
        self.admitted: list[str] = []
        self.unstarted: list[str] = []
        self.moved: set[ObjectId] = set()  #: to the lists of other controls
        self.refused: set[ObjectId] = set()  #: jobs that another control than their group keeps back
        self.parked: dict[ObjectId, str] = {}  #: jobs that were handed back before they began, and their lists
        self.left: list[ObjectId] = []  #: jobs that have ended otherwise
        self.wait: float | None = None  #: seconds until a rate allows the next start
        self.cancelled: dict[ObjectId, list[Fence]] = defaultdict(list)
        self.odd: list[dict[str, Any]] = []

    def without_key(self) -> list[dict[str, Any]]:
        return self.odd

    def enter(self, jobs: Sequence[Mapping[str, Any]]) -> set[ObjectId]:
        self._faults.note("admission.enter")
        self.moved |= {job["_id"] for job in jobs} & self.refused
        return {job["_id"] for job in jobs} - self.refused

    def extend(self, fence: Fence, lease: float) -> None:
        self._faults.note("places.extend")
        self.extended.append(fence)

    def release(self, fence: Fence) -> None:
        self._faults.note("places.release")
        self.released.append(fence)

    gone = release  #: of services

    def not_gone(self, boot: ObjectId) -> list[Fence]:
        self._faults.note("locks.not_gone")
        return list(self.cancelled[boot])

    def release_unstarted(self, claim: str, boot: ObjectId) -> None:
        self._faults.note("places.release_unstarted")
        self.unstarted.append(claim)

    def park(self, ids: Sequence[ObjectId]) -> set[str]:
        self._faults.note("places.park")
        return {"solo:key"} if ids else set()

    def admit_next(self, keys: Iterable[str]) -> None:
        self._faults.note("places.admit_next")
        self.admitted += keys

    def room_made(self, keys: Iterable[str]) -> None:
        self.admit_next(keys)

    def ended(self, before: Mapping[str, Any]) -> None:
        self._faults.note("places.ended")
        self.left.append(before["_id"])

    def defer(self, refused: Sequence[Refused]) -> None:
        self._faults.note("places.defer")
        self.parked |= {one.fence.job_id: one.key for one in refused}

    def sweep(self) -> float | None:
        self._faults.note("places.sweep")
        return self.wait

    def admit_rates(self) -> float | None:
        self._faults.note("places.admit_rates")
        return self.wait

    @property
    def rate_lists(self) -> Any:
        return SimpleNamespace(
            find=lambda: self._faults.note("rates.find"), look_at_all=lambda: self._faults.note("rates.look_at_all")
        )


class FakeRates:
    """What rates allow now, by their names, and what was taken of them."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.free: dict[str, int] = {}
        self.taken: list[tuple[str, int]] = []
        self.early: list[tuple[str, int]] = []

    def not_begun(self, name: str, limit: Limit, count: int) -> None:
        self._faults.note("rates.not_begun")
        self.early.append((name, count))

    def give_back(self, name: str, limit: Limit, count: int) -> None:
        self._faults.note("rates.give_back")
        self.free[name] += count

    def take(self, name: str, limit: Limit, count: int) -> Granted:
        self._faults.note("rates.take")
        self.taken.append((name, count))
        granted = min(count, self.free.get(name, 0))
        self.free[name] = self.free.get(name, 0) - granted
        return Granted(granted, 0.0 if granted == count else 1.0)


class FakeOutbox:
    """Effects of ended jobs that wait to be delivered."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.pending: list[dict[str, Any]] = []
        self.delivered: list[ObjectId] = []
        self.hooks: set[ObjectId] = set()  #: jobs whose hook is due
        self.held: set[ObjectId] = set()  #: jobs whose hook is being called

    def undelivered(
        self, effects: Sequence[str], count: int, but: Sequence[Any] = (), unknown: Collection[str] = ()
    ) -> list[dict[str, Any]]:
        self._faults.note("outbox.undelivered")
        return [job for job in self.pending if job["_id"] not in but][:count]

    def deliver(self, job_id: ObjectId) -> None:
        self._faults.note("outbox.deliver")
        self.delivered.append(job_id)

    def begin_hook(self, job_id: ObjectId, boot: ObjectId) -> bool:
        self._faults.note("outbox.begin_hook")
        if job_id not in self.hooks:
            return False
        self.hooks.discard(job_id)
        self.held.add(job_id)
        return True

    def end_hooks(self, job_ids: Sequence[ObjectId], boot: ObjectId) -> None:
        self._faults.note("outbox.end_hooks")
        self.held -= set(job_ids)

    def return_hook(self, job_id: ObjectId, boot: ObjectId) -> None:
        self._faults.note("outbox.return_hook")
        self.held.discard(job_id)
        self.hooks.add(job_id)

    def return_hooks(self, boot: ObjectId) -> None:
        self._faults.note("outbox.return_hooks")
        self.hooks |= self.held
        self.held.clear()


class FakeBlockedJobs:
    """Jobs that are parked since a setting holds them back."""

    def __init__(self, faults: Faults, claims: FakeClaims) -> None:
        self._faults = faults
        self._claims = claims
        self.parked: dict[str, dict[Any, dict[str, Any]]] = defaultdict(dict)  #: by the key of the setting

    def park(self, ids: Sequence[Any], key: str) -> int:
        self._faults.note("blocked_jobs.park")
        found = {job_id: self._claims.waiting.pop(job_id) for job_id in ids if job_id in self._claims.waiting}
        self.parked[key] |= found
        return len(found)

    def with_places(self, ids: Sequence[Any]) -> list[dict[str, Any]]:
        return [job for job_id in ids if "gate" in (job := self._claims.waiting.get(job_id, {}))]

    def paused_keys(self) -> list[str]:
        self._faults.note("blocked_jobs.paused_keys")
        return sorted(key for key, jobs in self.parked.items() if jobs)

    def keys(self, kind: str) -> list[str]:
        return sorted(key for key, jobs in self.parked.items() if jobs and key.startswith(f"{kind}:"))

    def first(self, key: str) -> list[dict[str, Any]]:
        return list(self.parked[key].values())[:2]

    def unpark(self, ids: Sequence[Any], key: str) -> int:
        self._faults.note("blocked_jobs.unpark")
        found = {job_id: self.parked[key].pop(job_id) for job_id in ids if job_id in self.parked[key]}
        self._claims.waiting |= found
        return len(found)


class FakeControls:
    """What people have set for the whole cluster."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.stored: list[dict[str, Any]] = []

    def load(self) -> Controls:
        self._faults.note("controls.load")
        return Controls.of(self.stored)

    def current(self) -> Controls:
        return Controls.of(self.stored)

    def delete_over(self, key: str, now: datetime) -> bool:
        self._faults.note("controls.delete_over")
        left = [one for one in self.stored if one["_id"] != key or one["until"] > now]
        is_there, self.stored = len(left) < len(self.stored), left
        return is_there


class FakeEvents:
    """The log of status changes."""

    def __init__(self) -> None:
        self.entries: list[Mapping[str, Any]] = []

    def append(self, entries: Sequence[Mapping[str, Any]], node: str | None = None) -> None:
        self.entries += entries


class FakeWakeups:
    """Messages that were sent."""

    def __init__(self) -> None:
        self.rearmed: list[ObjectId] = []
        self.neighbour: Any = None

    def tell_at_once(self, neighbour: Any) -> None:
        self.neighbour = neighbour

    def jobs_rearmed(
        self, ids: Sequence[ObjectId], queues: Sequence[str], forced: bool, urgent: Sequence[UrgentJob] = ()
    ) -> None:
        self.rearmed += ids


class FakePrograms:
    """Records of tracked programs."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.ended: list[dict[str, Any]] = []

    def end_silent(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        self._faults.note("programs.end_silent")
        return self.ended


class FakeInvalidJobs:
    """Jobs that were failed, since their documents cannot be used."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.failed: dict[Any, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}  #: with the error, and the filter

    def fail(self, job_id: Any, error: Mapping[str, Any], held: Mapping[str, Any]) -> bool:
        self._faults.note("invalid_jobs.fail")
        self.failed[job_id] = error, held
        return True


class FakeFeed:
    """A change stream that yields what it is given, and waits for more until it is closed."""

    def __init__(self, *_: object) -> None:
        self.events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.opened = self.closed = False
        self.is_following = True
        self.rests = 0

    def open(self) -> None:
        self.opened = True

    def close(self) -> None:
        self.closed = True
        self.events.put(None)

    def rest(self) -> None:
        self.rests += 1

    def next(self) -> Any:
        event = self.events.get()
        if isinstance(event, Exception):
            raise event
        return event


class FakeCommits:
    """Notes which jobs were broken off in their commit."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.broken_off: list[ObjectId] = []

    def break_off(self, job_ids: Sequence[ObjectId]) -> None:
        self._faults.note("commits.break_off")
        self.broken_off += job_ids


class FakeMetrics:
    """What nodes have counted, and the series for which the present hour has room already."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.series: set[Series] = set()
        self.portions: list[Portion] = []
        self.days = 0  #: past days that are not folded

    def fold_a_day(self, now: datetime) -> bool:
        self._faults.note("metrics.fold_a_day")
        self.days -= 1
        return self.days >= 0

    def room(self, hour: datetime) -> Room:
        self._faults.note("metrics.room")
        return Room(self.series)

    def add(self, boot: ObjectId, portion: Portion) -> None:
        self._faults.note("metrics.add")
        self.portions.append(portion)


class FakeStore:
    """A store in memory that notes what is asked of it."""

    def __init__(self) -> None:
        self.faults = faults = Faults()
        self.database = object()
        self.streams = SimpleNamespace(for_few=object)
        self.options = SchedulerOptions.of({})
        self.clock = ServerClock(FakeClock(), SERVER_NOW)
        self.claims = FakeClaims(faults)
        self.leases = FakeLeases(faults)
        self.completions = FakeCompletions(faults)
        self.nodes = FakeNodes(faults)
        self.postponed_jobs = FakeDueJobs(faults)
        self.late_jobs = FakeLateJobs(faults)
        self.jobs = FakeJobs()
        self.admission = self.sweeps = self.places = self.services = FakePlaces(faults)
        self.group_lists = FakeGroupLists(faults, self.claims, self.admission)
        self.rates = FakeRates(faults)
        self.outbox = FakeOutbox(faults)
        self.invalid_jobs = FakeInvalidJobs(faults)
        self.events = FakeEvents()
        self.wakeups = FakeWakeups()
        self.programs = FakePrograms(faults)
        self.controls = FakeControls(faults)
        self.blocked_jobs = FakeBlockedJobs(faults, self.claims)
        self.schedules = SimpleNamespace(next_due=lambda: None)
        self.commits = FakeCommits(faults)
        self.flows = SimpleNamespace(in_use=False)
        self.on_demand = SimpleNamespace(known=frozenset(), learn=lambda names: None)
        self.metrics = FakeMetrics(faults)

    @property
    def store(self) -> Store:
        """The same, as the parts of a node take it."""
        return cast(Store, self)


class FakeManager:
    """Notes what is sent to the worker manager."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.cancelled: list[ObjectId] = []

    @property
    def proxy(self) -> ManagerProxy:
        """The same, as the parts of a node take it."""
        return cast(ManagerProxy, self)

    @property
    def dispatched(self) -> list[ObjectId]:
        return [ObjectId(run.job_id) for run in self.runs]

    def dispatch(self, runs: Sequence[Run]) -> None:
        self.runs += runs

    def cancel(self, ids: list[ObjectId]) -> None:
        self.cancelled += ids


class Threads(SessionThreads):
    """Threads whose crash can be seen."""

    def __init__(self) -> None:
        self.crashed = threading.Event()
        super().__init__(self.crashed.set)


def lease(clock: FakeClock | None = None, duration: float = 30.0) -> Lease:
    return Lease(duration, clock or FakeClock())


def job_document(options: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A job as a node claims it."""
    return {
        "_id": ObjectId(),
        "class": "mail",
        "data": {"a": 1},
        "attempt": 1,
        "options": JobOptions.of(options or {}).stored(),
        "retries": 0,
        "lost": 0,
        "queue": "default",
        "priority": 0,
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        **fields,
    }


def claimed(job: dict[str, Any]) -> ClaimedJob:
    return ClaimedJob(job, bson.encode(job, codec_options=CODEC))


def attempt(
    number: int = 1, options: Mapping[str, Any] | None = None, claimed_at: float = 0.0, **fields: Any
) -> Attempt:
    document = job_document(options, attempt=number, **fields)
    raw = RawBSONDocument(bson.encode(document, codec_options=CODEC))
    return Attempt(Fence(document["_id"], "claim", number), raw, bytes(raw.raw), claimed_at=claimed_at)


def report(of: Attempt, ending: Ending, seconds: float = 0.1, **content: Any) -> Report:
    packed = body(**content) if content else b""
    return Report(Kind.REPORT, ending, of.fence.job_id.binary, of.fence.attempt, WORKER.binary, seconds, packed)
