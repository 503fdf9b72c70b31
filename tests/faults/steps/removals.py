"""Takes single mechanisms out of the product, to see that the tests notice."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from bson import ObjectId
from pymongo.errors import PyMongoError

from taskscheduler.model.control.keys import FAR
from taskscheduler.model.metrics.steps import HOUR, MINUTE
from taskscheduler.model.metrics.tally import Portion
from taskscheduler.operations.flows.extend import Additions
from taskscheduler.store.attempts.completion import Again
from taskscheduler.store.attempts.logs import LogStore
from taskscheduler.store.audit.log import AuditStore
from taskscheduler.store.fence import Fence
from taskscheduler.store.flows.additions import FlowAdditions
from taskscheduler.store.flows.effects import FlowEffects
from taskscheduler.store.flows.flow_store import FlowStore
from taskscheduler.store.flows.joins import Joins
from taskscheduler.store.flows.results import FlowResults
from taskscheduler.store.job_inserts import JobInserts
from taskscheduler.store.metrics import history
from taskscheduler.store.metrics.history import MetricsStore
from taskscheduler.store.postponed_jobs import PostponedJobs
from taskscheduler.store.resumable import steps, tries
from taskscheduler.store.resumable.steps import StepStore
from taskscheduler.store.schema import ensure_metrics
from taskscheduler.store.transactions import commits
from taskscheduler_daemon.node.claiming import pipeline
from taskscheduler_daemon.node.claiming.pipeline import ClaimPipeline
from taskscheduler_daemon.node.claiming.successor_claims import SuccessorClaims
from taskscheduler_daemon.node.claiming.successors import Successors
from taskscheduler_daemon.node.completion import parted_writes
from taskscheduler_daemon.node.completion.completer import Completer
from taskscheduler_daemon.node.maintenance.gatekeeper import Gatekeeper
from taskscheduler_daemon.node.maintenance.leaked_claims import LeakedClaims
from taskscheduler_daemon.node.maintenance.outbox_relay import OutboxRelay
from taskscheduler_daemon.node.maintenance.pause_keeper import PauseKeeper
from taskscheduler_daemon.node.maintenance.rescuer import Rescuer
from taskscheduler_daemon.node.output.book import LogBook
from taskscheduler_daemon.node.session import Session
from taskscheduler_daemon.node.state.drain import Drain


def _nothing(*_args: Any, **_options: Any) -> None:
    return None


def _out(owner: Any, name: str, instead: Any = _nothing) -> Callable[[], None]:
    assert hasattr(owner, name), f"{owner} has no {name} to take away"
    return lambda: setattr(owner, name, instead)


def _believe(self: Completer, finishes: Any, quick: Any = ()) -> None:
    """Write once and take it for written."""
    with suppress(PyMongoError):
        self._store.completions.write(finishes, quick)
    self._aftermath.follow(finishes, quick)


def _trust(self: ClaimPipeline, ids: Any, claimable: Any) -> Any:
    """A claim that ends in an error has got nothing."""
    claim = uuid.uuid4().hex
    self._store.claims.claim(ids, claim, self.boot, self._node, claimable)
    self._abandoned.append(claim)
    return claim, self._store.claims.claimed(claim, self.boot)


def _always_wait(self: Again, _pause: Any) -> Any:
    """Become due when it is time, whatever signal is there."""
    return {"$literal": self.at or FAR}


def only_note(entry: Mapping[str, Any], update: Callable[..., Any] = steps.signal_update) -> Any:
    """Store a signal, and leave the job as it is."""
    return [{"$set": {"signals": update(entry)[0]["$set"]["signals"]}}]


def _claim_on(self: Session) -> None:
    """Say that there are no more claims, and claim."""
    self._drain.claims_no_more()


def _crash(self: Session) -> None:
    """End the session by an error in one of its threads."""
    raise RuntimeError("a trap")


def _forget(self: Drain) -> bool:
    """Note that somebody has asked for it only as long as nothing crashes."""
    is_new = not self.__dict__.get("forgotten")
    self.__dict__["forgotten"] = True
    return is_new


def _one_late(
    self: StepStore,
    fence: Fence,
    entry: Mapping[str, Any],
    add: Callable[..., bool] = StepStore.add,
    waiting: list[Mapping[str, Any]] = [],  # noqa: B006  (of this process)
) -> bool:
    """Store the step before this one, whose result the job has got by now."""
    late, waiting[:] = list(waiting), [entry]
    return all(add(self, fence, one) for one in late)


def _store_once(self: LogStore, chunks: Any, write: Callable[..., None] = LogStore.write) -> None:
    """Take what was sent for stored."""
    with suppress(PyMongoError):
        write(self, chunks)


def _count_again(self: MetricsStore, boot: ObjectId, portion: Portion) -> None:
    """Add a portion without looking whether it is there."""
    ensure_metrics(self._collection.database)
    for step, begins in ((MINUTE, portion.minute), (HOUR, portion.hour)):
        self._collection.update_one({"_id": step.key(begins)}, history._change(boot, portion), upsert=True)


REMOVALS: Mapping[str, Callable[[], None]] = {
    "debts paid by others": _out(OutboxRelay, "run"),
    "taking back": _out(Rescuer, "run"),
    "unparking": _out(PauseKeeper, "run"),
    "sweeps of parked jobs": _out(Gatekeeper, "run"),
    "promotion": _out(PostponedJobs, "promote"),
    "reading back what a claim has got": _out(ClaimPipeline, "_claim_and_read_back", _trust),
    "giving back abandoned claims": _out(ClaimPipeline, "release_abandoned"),
    "release of strays": _out(LeakedClaims, "run"),
    "writing until it is known": _out(Completer, "_finish", _believe),
    "a look for the signal": _out(Again, "due", _always_wait),
    "waking what waits": _out(steps, "signal_update", only_note),
    "storing a step before the next": _out(StepStore, "add", lambda *_: True),
    "storing a step before its result is known": _out(StepStore, "add", _one_late),
    "repeating until it is known": _out(tries, "_PATIENCE", 0.0),
    "claiming few jobs at once": _out(pipeline, "_TWO_PARTS", 2),
    "writing few ends at once": _out(parted_writes, "_TWO_PARTS", 2),
    "sweeps of flows": _out(FlowEffects, "sweep", lambda *_: []),
    "letting out what comes after": _out(FlowEffects, "follow", lambda *_: []),
    "giving back what comes next": _out(Successors, "give_back"),
    "releasing what comes next": _out(SuccessorClaims, "settle"),
    "looking whether a join is complete": _out(Joins, "incomplete", lambda *_: set()),
    "the results of jobs before": _out(FlowResults, "of", lambda *_: {}),
    "knowing what an attempt has added": _out(Additions, "added_by"),
    "adding a flow in one transaction": _out(FlowStore, "in_one_transaction", lambda _, write: write(None)),
    "noting the session that adds to a flow": _out(FlowAdditions, "_mark"),
    "asking for the outcome of a commit": _out(commits, "_UNKNOWN_FOR", 0.0),
    "storing logs before an end": _out(LogBook, "settle"),
    "storing logs until it is known": _out(LogStore, "write", _store_once),
    "counting a portion once": _out(MetricsStore, "add", _count_again),
    "claiming no more while it drains": _out(Session, "_claim_no_more", _claim_on),
    "waiting for jobs while it drains": _out(Drain, "is_done", lambda self, _: self.claims_none),
    "trap: crash while it drains": _out(Session, "_claim_no_more", _crash),
    "ending after a crash while it drains": _out(Drain, "ask", _forget),
    "an entry before the action": _out(AuditStore, "add", lambda _, entry: entry),
    "recognizing one's own insert": _out(JobInserts, "_is_ours", lambda *_: False),
}
