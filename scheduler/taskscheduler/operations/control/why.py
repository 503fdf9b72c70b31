"""Says why a job does not run now, by the rules and the indexes that decide when it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from taskscheduler.model.control.controls import Controls
from taskscheduler.model.control.keys import (
    LIMIT,
    RATE,
    SEQUENCE,
    SOLO,
    GroupList,
    is_controlled,
    is_parked,
    kind_and_name,
    read_group_list,
)
from taskscheduler.model.control.known import CURE, Coverage, coverage
from taskscheduler.model.control.pauses import JOB, Pause
from taskscheduler.model.control.reasons import Code, Reason, for_seconds, many
from taskscheduler.model.control.slots import has_room, needs_own_worker, shares_worker, slots_of, slots_taken
from taskscheduler.model.flows.membership import join_of
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.nodes import NodeState, serves, state_of
from taskscheduler.model.resumable.steps import Kind, awaited
from taskscheduler.model.sound import sound, sound_job, status_of
from taskscheduler.store import Store

_MOST_NAMED = 3  #: classes of running jobs in a text

_NEEDED = ("class", "queue", "priority", "at")  #: of a job that is due

_FREE = "it keeps no job back any more; a node admits the next one in a moment"

_ENDED_AS = {Status.FAILED: "has failed", Status.TIMEOUT: "has timed out"}

Jobs = Sequence[Mapping[str, Any]]


def why(store: Store, job: Mapping[str, Any]) -> Reason:
    """Returns why a stored job does not run now, or that it does."""
    return _Question(store, sound_job(job)).answer()


class _Question:
    """One job, and what the cluster is like now."""

    def __init__(self, store: Store, job: Mapping[str, Any]) -> None:
        self._store = store
        self._job = job
        self._now = store.clock.now()
        self._controls: Controls = store.controls.current().at(self._now)

    def answer(self) -> Reason:
        """Goes through what keeps a job from running, in the order of evaluation."""
        job, status = self._job, status_of(self._job)
        if status.is_final:
            return self._ended(status)
        if status is Status.PROCESSING:
            return self._running()
        if status is Status.POSTPONED and not is_parked(job):
            return self._awaiting() or self._not_due()
        if (join := join_of(job.get("blocked"))) is not None:
            return self._waits_for(join)
        return self._unusable() or self._unserved() or self._paused() or self._controlled() or self._in_line()

    def _ended(self, status: Status) -> Reason:
        at: datetime | None = sound(self._job, "ended")
        ago = "" if at is None else f" {self._since(at)} ago"
        return Reason(Code.ENDED, f"it ended{ago} and is {status.label}", {"status": status.label})

    def _since(self, at: datetime) -> str:
        return for_seconds((self._now - at).total_seconds())

    def _running(self) -> Reason:
        if "program" in self._job:
            return Reason(Code.RUNNING, "the program reports that it runs; no node runs it")
        attempt, node = sound(self._job, "attempt", 0), sound(self._job, "node", "?")
        text = f"attempt {attempt} runs on {node}"
        if (at := sound(self._job, "started")) is not None:
            text = f"attempt {attempt} has run for {self._since(at)} on {node}"
        return Reason(Code.RUNNING, text, {"node": node, "attempt": attempt})

    def _awaiting(self) -> Reason | None:
        """Returns that it sleeps, or waits for a signal; None if that is over, or it does neither."""
        found = awaited(self._job)
        if found is None or (found.until is not None and found.until <= self._now):
            return None
        limit = "" if found.until is None else f", until {_date(found.until)}"
        facts = {"until": found.until}
        if found.kind is Kind.SLEEP:
            left = for_seconds((sound(self._job, "at", self._now) - self._now).total_seconds())
            return Reason(Code.NOT_DUE, f"it sleeps{limit.lstrip(',')}, for another {left}", {"at": found.until})
        if sound(self._job, "at", self._now) <= self._now:
            return None  # the signal has come
        text = f"it waits for the signal {_quoted(found.name)}{limit}"
        return Reason(Code.WAITING_FOR, text, {"signal": found.name, **facts})

    def _not_due(self) -> Reason:
        at: datetime | None = sound(self._job, "at")
        if at is None:
            return Reason(Code.NOT_DUE, "its due time cannot be read; the node that finds it ends it as failed")
        left = (at - self._now).total_seconds()
        if left <= 0:
            text = "it has just become due; a node sees that in a moment"
            return self._no_node() or Reason(Code.NOT_DUE, text, {"at": at})
        what = "its next attempt" if sound(self._job, "attempt", 0) > 0 else "it"
        return Reason(Code.NOT_DUE, f"{what} is due in {for_seconds(left)}, at {_date(at)}", {"at": at})

    def _waits_for(self, join: ObjectId) -> Reason:
        """Returns which jobs of its flow have to end before it."""
        left, first = self._store.flow_effects.joins.left_of(join)
        if first is None:
            text = "all that it comes after have ended; a node lets it go on in a moment"
            return Reason(Code.WAITING_FOR, text, {"left": 0})
        name = first.get("label") or first.get("class", "?")
        facts = {"left": left, "job": first["_id"], "status": status_of(first).label}
        others = f" and {many(left - 1, 'other job', 'other jobs')}" if left > 1 else ""
        text = f"it comes after {name} ({first['_id']}, {status_of(first).label}){others} of its flow"
        return Reason(Code.WAITING_FOR, text, facts)

    def _unusable(self) -> Reason | None:
        lacking = next((name for name in _NEEDED if name not in self._job), None)
        if lacking is not None:
            text = f"its field {lacking} is missing or cannot be read; the node that finds it ends it as failed"
            return Reason(Code.NO_NODE_KNOWS, text)
        is_sound = isinstance(self._job["_id"], ObjectId)
        return None if is_sound else Reason(Code.NO_NODE_KNOWS, "its id is no ObjectId, so no node runs it")

    # -- known, paused -------------------------------------------------------------------------------------------------

    def _no_node(self) -> Reason | None:
        self._nodes = [node for node in self._store.nodes.all() if state_of(node) is NodeState.UP]
        return None if self._nodes else Reason(Code.NO_NODE, f"no node is up; {CURE}")

    def _unserved(self) -> Reason | None:
        if (reason := self._no_node()) is not None:
            return reason
        name, queue = self._job["class"], self._job["queue"]
        found = coverage(name, queue, self._nodes)
        if found is Coverage.UNSERVED:
            text = f"no node that is up serves the queue {_quoted(queue)}; {CURE}"
            return Reason(Code.NO_NODE_SERVES, text, {"queue": queue})
        if found is Coverage.UNKNOWN:
            text = f"no node that serves the queue {_quoted(queue)} knows the job {_quoted(name)}; {CURE}"
            return Reason(Code.NO_NODE_KNOWS, text, {"queue": queue, "class": name})
        return None

    def _paused(self) -> Reason | None:
        job = self._job
        pause = self._controls.pause_of(job["queue"], job["class"], sound(job, "tags", ()), now=self._now)
        return None if pause is None else Reason(Code.PAUSED, _of_pause(pause), {"pause": pause.key})

    # -- sequence, limits, solo, rates ---------------------------------------------------------------------------------

    def _controlled(self) -> Reason | None:
        if not is_controlled(self._job) or "gate" in self._job:
            return None
        rooms = self._store.rooms.look()
        refused, _ = rooms.enter(self._job)
        if refused is None:
            refused = sound(self._job, "blocked", "")  # it is free by now, or the list has others before it
        if (group := read_group_list(refused)) is not None:
            return self._in_turn(group)
        kind, name = kind_and_name(refused)
        texts = {LIMIT: self._limit, RATE: self._rate, SEQUENCE: self._sequence, SOLO: self._solo}
        if kind not in texts:
            return Reason(Code.BEHIND, "nothing keeps it back any more; a node admits it in a moment")
        before = self._store.queue_places.before_in_list({**self._job, "blocked": refused})
        reason = texts[kind](name)
        behind = f"; {many(before, 'job waits', 'jobs wait')} before it" if before else ""
        return Reason(reason.code, reason.text + behind, {**reason.facts, "before": before})

    def _in_turn(self, group: GroupList) -> Reason:
        before = self._store.queue_places.before_in_list({**self._job, "blocked": group.key})
        if not before:
            return self._next()
        jobs = many(before, "job", "jobs")
        text = f"{jobs} of group {_quoted(group.group)} {_are(before)} before it, and groups take turns"
        return Reason(Code.BEHIND, text, {"group": group.group, "before": before})

    def _limit(self, name: str) -> Reason:
        limit = self._controls.limit_of(name)
        most = None if limit is None else limit.concurrency
        held = self._store.places.holders_of(LIMIT, name)
        longest, facts = self._longest(held)
        text = f"{len(held)} of {most} places taken{longest}"
        if most is None:
            text = _FREE
        elif most == 0:
            text = f"its concurrency is 0, so none of its jobs starts{longest}"
        facts = {"limit": name, "concurrency": most, "taken": len(held), **facts}
        return Reason(Code.LIMIT, f"limit {_quoted(name)}: {text}", facts)

    def _longest(self, held: Jobs) -> tuple[str, dict[str, Any]]:
        """Returns which of these jobs has run for longest: the end of a text, and a fact."""
        running = [job for job in held if sound(job, "started") is not None and status_of(job) is Status.PROCESSING]
        if not running:
            return "", {}
        job = min(running, key=lambda one: one["started"])
        return f", longest by {job['_id']} {self._at_work(job)}", {"job": job["_id"]}

    def _at_work(self, job: Mapping[str, Any]) -> str:
        return f"for {self._since(job['started'])} on {sound(job, 'node', '?')}"

    def _rate(self, name: str) -> Reason:
        limit = self._controls.limit_of(name)
        if limit is None or limit.rate is None:
            return Reason(Code.RATE, f"rate {_quoted(name)}: {_FREE}", {"limit": name})
        wait = self._store.rates.wait(name, limit)
        text = f"{limit.rate:g} may start in {limit.per:g} s, the next one in {wait:.1f} s"
        return Reason(Code.RATE, f"rate {_quoted(name)}: {text}", {"limit": name, "seconds": wait})

    def _sequence(self, name: str) -> Reason:
        facts, head = {"sequence": name}, self._store.sequences.head(name)
        if head is None or head["_id"] == self._job["_id"]:
            text = "it comes next, once the one before it has left its place"
            return Reason(Code.SEQUENCE, f"sequence {_quoted(name)}: {text}", facts)
        status = status_of(head)
        cure = "; retry or delete it, or release the sequence" if status.is_final else ""
        text = f"{head['_id']} comes first and {_ENDED_AS.get(status, f'is {status.label}')}{cure}"
        return Reason(Code.SEQUENCE, f"sequence {_quoted(name)}: {text}", {**facts, "job": head["_id"]})

    def _solo(self, name: str) -> Reason:
        held = self._store.places.holders_of(SOLO, name)
        if not held:
            return Reason(Code.SOLO, f"solo key {_quoted(name)}: {_FREE}", {"key": name})
        job, runs = held[0], bool(self._longest(held)[1])
        text = f"{job['_id']} holds it{' ' + self._at_work(job) if runs else f' and is {status_of(job).label}'}"
        return Reason(Code.SOLO, f"solo key {_quoted(name)}: {text}", {"key": name, "job": job["_id"]})

    # -- slots ---------------------------------------------------------------------------------------------------------

    def _in_line(self) -> Reason:
        if needs_own_worker(self._job) or (shares_worker(self._job) and self._has_room(self._running_on())):
            return self._next()
        before = self._store.queue_places.before(self._job)
        if before:
            queue = self._job["queue"]
            text = f"{many(before, 'job', 'jobs')} {_are(before)} before it in the queue {_quoted(queue)}"
            return Reason(Code.BEHIND, text, {"queue": queue, "before": before})
        return self._next()

    def _running_on(self) -> dict[Any, list[Mapping[str, Any]]]:
        """Returns the nodes that serve its queue, with the jobs that they hold."""
        held: dict[Any, list[Mapping[str, Any]]] = {node["_id"]: [] for node in self._serving()}
        for job in self._store.queue_places.at_work():
            if job.get("boot") in held:
                held[job["boot"]].append(job)
        return held

    def _serving(self) -> list[Mapping[str, Any]]:
        return [node for node in self._nodes if serves(node, self._job["queue"])]

    def _has_room(self, held: Mapping[Any, Jobs]) -> bool:
        return any(has_room(node, held[node["_id"]], self._job) for node in self._serving())

    def _next(self) -> Reason:
        held, nodes = self._running_on(), self._serving()
        slots, busy = sum(map(slots_of, nodes)), sum(slots_taken(node, held[node["_id"]]) for node in nodes)
        running = [job for jobs in held.values() for job in jobs]
        facts = {"before": 0, "slots": slots, "busy": busy, "running": len(running)}
        if self._has_room(held):
            return Reason(Code.SLOTS, "it is the next one; a node takes it in a moment", facts)
        what = "the only slot is busy" if slots == 1 else f"all {slots} slots are busy"
        if needs_own_worker(self._job):
            running = [job for job in running if job.get("forced")]
            what = "the nodes have as many workers beyond their slots as they may"
        else:
            running = [job for job in running if not job.get("forced")]
        longest, job = self._longest(running)
        text = f"it is the next one, and {what}{_with_what(running)}{longest}"
        return Reason(Code.SLOTS, text, {**facts, **job})


def _with_what(running: Jobs) -> str:
    """Returns the most frequent classes of these jobs."""
    counts = Counter(sound(job, "class", "?") for job in running).most_common(_MOST_NAMED)
    return f" with {', '.join(f'{count} {name}' for name, count in counts)}" if counts else ""


def _quoted(name: str) -> str:
    return f'"{name:.80}"'


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _date(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _of_pause(pause: Pause) -> str:
    kind = "job class" if pause.kind == JOB else pause.kind
    what = "everything is" if pause.name is None else f"{kind} {_quoted(pause.name)} is"
    by = "" if pause.by is None else f" by {pause.by}"
    until = "" if pause.until is None else f" until {_date(pause.until)}"
    reason = "" if pause.reason is None else f": {pause.reason}"
    return f"{what} paused{by}{until}{reason}"
