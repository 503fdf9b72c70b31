"""What the processes of these tests do: run a node, or one operation of an application, under a fault.

They are forked from a process that has imported all of this, which saves most of what a start costs.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from bson import ObjectId

from taskscheduler import DatabaseUnavailableError, Flow, Scheduler, Status
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.metrics.counts import Sample, Series
from taskscheduler.model.metrics.steps import MINUTE
from taskscheduler.model.metrics.tally import Portion
from taskscheduler.model.migration.steps import STEPS
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.operations.migration.migrate import migrate
from taskscheduler.operations.schedule_runs import add_due_runs
from taskscheduler.store.client import connect
from taskscheduler.store.driver_errors import StoreError
from taskscheduler.store.migration.migrations import MigrationStore
from taskscheduler_daemon import QueueNode
from tests.faults.steps import ambiguous, crashing
from tests.faults.steps.removals import REMOVALS
from tests.support.flowing import diamond
from tests.support.jobs import trace

gc.freeze()  #: each node collects garbage before it forks: not all that is imported here again

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["__main__", __name__])
_PR_SET_PDEATHSIG = 1
CRASHED, FAILED = -9, 1
WAITS = 3  #: of a migration: older nodes need what it would change
JOBS = [
    *("tests.support.jobs", "tests.support.batching", "tests.support.commits", "tests.support.flowing"),
    "tests.support.talking",
    *("tests.faults.steps.spans", "tests.faults.steps.orders"),
]


@dataclass(frozen=True)
class Orders:
    """What a process is to do, and what is to happen to it."""

    what: str
    log: str  #: the name of its log
    uri: str
    directory: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    crash_at: int = 0  #: end after so many calls of the database,
    crash_since: str = ""  #: counted from the first write to this collection on
    fail_at: int = 0  #: let this write fail
    fail_when: str = ambiguous.AFTER
    fail_times: int = 1
    fail_only: str = ""  #: count only writes of this name
    without: tuple[str, ...] = ()  #: mechanisms of the product that are taken out


def _code_file(orders: Orders) -> Path:
    return Path(orders.directory, f"{orders.log}.code")


class Actor:
    """A process that follows orders."""

    def __init__(self, orders: Orders) -> None:
        self._code = _code_file(orders)
        self._code.unlink(missing_ok=True)
        self._process: BaseProcess = _CONTEXT.Process(target=act, args=(orders,))
        self._told = False
        self._process.start()

    @property
    def ended(self) -> bool:
        return not self._process.is_alive()

    def terminate(self) -> None:
        """SIGTERM, once."""
        if not self._told:
            self._told = True
            self._process.terminate()

    def wait(self, timeout: float = 30.0) -> int:
        """The exit code that it has written down; CRASHED if it could not any more."""
        self._process.join(timeout)
        assert not self._process.is_alive(), "the process does not end"
        return int(self._code.read_text()) if self._code.exists() else CRASHED

    def stop(self) -> int:
        """SIGTERM, if it has not ended yet; its exit code."""
        self.terminate()
        return self.wait()

    def destroy(self) -> None:
        self._process.kill()
        self._process.join(10)
        self._process.close()


def act(orders: Orders) -> None:
    """The whole life of such a process."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    log = os.open(Path(orders.directory, f"{orders.log}.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    logging.basicConfig(level=logging.INFO, format="%(process)d %(name)s %(message)s")
    for name in orders.without:
        REMOVALS[name]()
    if orders.crash_at:
        crashing.arm(orders.crash_at, Path(orders.directory, f"{orders.log}.calls"), orders.crash_since)
    if orders.fail_at:
        record = Path(orders.directory, f"{orders.log}.faults")
        ambiguous.arm(orders.fail_at, record, orders.fail_when, orders.fail_times, orders.fail_only)
    try:
        code = ACTS[orders.what](orders)
    except Exception:
        traceback.print_exc()
        code = FAILED
    _code_file(orders).write_text(str(code))


def _node(orders: Orders) -> int:
    options = {"pm": "static", "min_children": 1, "jobs": JOBS, "stop_timeout": 2, "kill_grace": 0.2}
    return QueueNode(Scheduler(orders.uri), **{**options, **orders.facts}).process()


def _operation(operate: Callable[[Scheduler, Mapping[str, Any]], list[ObjectId]]) -> Callable[[Orders], int]:
    """Do it, then write down the ids that the scheduler has acknowledged."""

    def done(orders: Orders) -> int:
        with Scheduler(orders.uri) as scheduler:
            for job_id in operate(scheduler, orders.facts):
                trace(f"{orders.directory}/acknowledged", job_id)
        return 0

    return done


def _add(scheduler: Scheduler, facts: Mapping[str, Any]) -> list[ObjectId]:
    return [scheduler.add_job("trace", facts["data"]).id]


def _add_many(scheduler: Scheduler, facts: Mapping[str, Any]) -> list[ObjectId]:
    return [process.id for process in scheduler.add_jobs([("trace", facts["data"])] * 3)]


def _add_once(scheduler: Scheduler, facts: Mapping[str, Any]) -> list[ObjectId]:
    return [scheduler.add_job_once("trace", facts["data"], retry=facts.get("retry", 1)).id]


def _add_windowed(scheduler: Scheduler, facts: Mapping[str, Any]) -> list[ObjectId]:
    return [scheduler.add_job("trace", facts["data"], facts["options"]).id]


def _order(scheduler: Scheduler, facts: Mapping[str, Any]) -> list[ObjectId]:
    """An order and the job for it, or its flow of two, in one transaction; with `apart` the order is written beside it.

    With `asks_once` it does not ask again when the outcome of the commit is unknown.
    """
    orders = scheduler.database.orders
    add = scheduler.add_job_once if facts.get("once") else scheduler.add_job

    def order(session: Any) -> list[ObjectId]:
        orders.insert_one({"n": 1}, session=None if facts.get("apart") else session)
        if "flow" in facts:
            flow = Flow("order")
            ids = [flow.add("trace", facts["data"], label="first").id]
            ids.append(flow.add("trace", facts["data"], after=["first"]).id)
            scheduler.flows.add(flow, session=session)
            return ids
        return [add("trace", facts["data"], facts.get("options"), session=session).id]

    with scheduler.database.client.start_session() as session:
        if not facts.get("asks_once"):
            return session.with_transaction(order)
        with session.start_transaction():
            return order(session)


def _add_runs(scheduler: Scheduler, _facts: Mapping[str, Any]) -> list[ObjectId]:
    add_due_runs(scheduler.store)
    return [run.id for run in scheduler.get_jobs({"schedule": {"$exists": True}})]


def _cancel(scheduler: Scheduler, facts: Mapping[str, Any]) -> list[ObjectId]:
    scheduler.cancel_job(ObjectId(facts["id"]))
    return [ObjectId(facts["id"])]


def _signal(scheduler: Scheduler, facts: Mapping[str, Any]) -> list[ObjectId]:
    told = scheduler.signal(facts["id"], "go", facts["value"])
    trace(f"{facts['data']}.told", told.won, told.value)
    return [ObjectId(facts["id"])]


def _pause(scheduler: Scheduler, _facts: Mapping[str, Any]) -> list[ObjectId]:
    scheduler.pause(job="trace")
    return [job.id for job in scheduler.get_jobs()]


def _resume(scheduler: Scheduler, _facts: Mapping[str, Any]) -> list[ObjectId]:
    scheduler.resume(job="trace")
    return [job.id for job in scheduler.get_jobs()]


def _add_span(scheduler: Scheduler, facts: Mapping[str, Any]) -> list[ObjectId]:
    return [scheduler.add_job("span", {"trace": facts["data"]}, facts["options"]).id]


def _set_limit(scheduler: Scheduler, facts: Mapping[str, Any]) -> list[ObjectId]:
    scheduler.limits.set("x", concurrency=facts["most"])
    return [job.id for job in scheduler.get_jobs()]


def _delete_limit(scheduler: Scheduler, _facts: Mapping[str, Any]) -> list[ObjectId]:
    scheduler.limits.delete("x")
    return [job.id for job in scheduler.get_jobs()]


def _release(scheduler: Scheduler, _facts: Mapping[str, Any]) -> list[ObjectId]:
    scheduler.sequences.release("s")
    return [job.id for job in scheduler.get_jobs()]


def _add_flow(scheduler: Scheduler, _facts: Mapping[str, Any]) -> list[ObjectId]:
    """Once more if it cannot be known whether it is stored: that is safe with the same Flow."""
    flow = diamond()
    try:
        running = scheduler.flows.add(flow)
    except DatabaseUnavailableError:
        running = scheduler.flows.add(flow)
    return [process.id for process in running.processes]


def _cancel_flow(scheduler: Scheduler, facts: Mapping[str, Any]) -> list[ObjectId]:
    scheduler.flows.cancel(facts["id"])
    return [process.id for process in scheduler.flows.processes(facts["id"])]


def _retry_flow(scheduler: Scheduler, facts: Mapping[str, Any]) -> list[ObjectId]:
    scheduler.flows.retry(facts["id"])
    return [process.id for process in scheduler.flows.processes(facts["id"])]


def _cancel_for_ana(scheduler: Scheduler, facts: Mapping[str, Any]) -> list[ObjectId]:
    with scheduler.audit.acting("ana"):
        return _cancel(scheduler, facts)


def _count(scheduler: Scheduler, facts: Mapping[str, Any]) -> list[ObjectId]:
    """Count some jobs that have ended, as a node does: each portion again until it is known to be stored."""
    boot, minute = ObjectId(), MINUTE.begins(scheduler.store.clock.now())
    for number in range(1, facts["portions"] + 1):
        portion = Portion(minute)
        portion.number = number
        portion.add(Sample(Series("trace", "default"), Ending.SUCCEEDED, 0.02, 3.0, Status.DONE))
        while not _is_counted(scheduler, boot, portion):
            pass
        trace(facts["counted"], number)
    return [boot]


def _is_counted(scheduler: Scheduler, boot: ObjectId, portion: Portion) -> bool:
    try:
        scheduler.store.metrics.add(boot, portion)
    except StoreError:
        return False
    return True


def _drain_for_ana(scheduler: Scheduler, _facts: Mapping[str, Any]) -> list[ObjectId]:
    [node] = scheduler.store.nodes.all()
    with scheduler.audit.acting("ana"):
        scheduler.nodes.drain(str(node["_id"]))
    return []


def _flush(scheduler: Scheduler, facts: Mapping[str, Any]) -> list[ObjectId]:
    scheduler.flush()
    return []


def _migrate(orders: Orders) -> int:
    """Move a database to this version; `backwards` the last step first, `heedless` without regard to older nodes."""
    store = MigrationStore(connect(orders.uri), SchedulerOptions())
    if orders.facts.get("backwards"):
        for number in range(len(STEPS), 0, -1):
            sum(store.take(number))
    if orders.facts.get("heedless"):
        for number in range(1, len(STEPS) + 1):
            sum(store.take(number))
        return 0
    reports = list(migrate(store))
    return 0 if all(report.is_settled for report in reports) else WAITS


ACTS: Mapping[str, Callable[[Orders], int]] = {
    "node": _node,
    "migrate": _migrate,
    "add": _operation(_add),
    "add_many": _operation(_add_many),
    "add_once": _operation(_add_once),
    "add_windowed": _operation(_add_windowed),
    "order": _operation(_order),
    "add_runs": _operation(_add_runs),
    "cancel": _operation(_cancel),
    "cancel_for_ana": _operation(_cancel_for_ana),
    "count": _operation(_count),
    "add_flow": _operation(_add_flow),
    "cancel_flow": _operation(_cancel_flow),
    "retry_flow": _operation(_retry_flow),
    "flush": _operation(_flush),
    "drain_for_ana": _operation(_drain_for_ana),
    "signal": _operation(_signal),
    "pause": _operation(_pause),
    "resume": _operation(_resume),
    "add_span": _operation(_add_span),
    "set_limit": _operation(_set_limit),
    "delete_limit": _operation(_delete_limit),
    "release": _operation(_release),
}
