"""A queue node that writes down what it does, and can have single mechanisms taken out of it.

python -m tests.faults.nodes URI '{"name": "a", "sabotage": ["fence"], ...}'
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

from bson import ObjectId

from taskscheduler import Scheduler
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import QuickEnd
from taskscheduler_daemon import QueueNode
from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.logs import CompactFormatter
from taskscheduler_daemon.node.completion.aftermath import Aftermath
from taskscheduler_daemon.node.completion.completer import Completer
from taskscheduler_daemon.node.maintenance import rescuer
from taskscheduler_daemon.worker.reports import WorkerReports
from tests.faults import sabotage
from tests.faults.history import History, of_environment
from tests.faults.observing import HistoryHandler, observe_streams
from tests.faults.processes import die_with_parent


def observe(history: History) -> None:
    """Write down which ends are recorded or refused, and which jobs are taken back."""
    follow, refuse = Aftermath.follow, Completer._report_fenced
    rescue: Callable[..., Any] = vars(rescuer)["rescue"]

    def followed(self: Aftermath, landed: Sequence[Completion], quick: Sequence[QuickEnd] = ()) -> None:
        ends = [*landed, *(one.completion() for one in quick)]
        history.write("recorded", ends=[_end(one) for one in ends if not one.unstarted])
        follow(self, landed, quick)

    def refused(self: Completer, completions: list[Completion], landed: list[Completion]) -> None:
        ends = [_end(one) for one in completions if one not in landed]
        if ends:
            history.write("fenced", ends=ends)
        refuse(self, completions, landed)

    def rescued(*args: Any) -> Any:
        jobs = rescue(*args)
        history.write("reaped", jobs=[str(one.job_id) for one in jobs])
        return jobs

    Aftermath.follow, Completer._report_fenced = followed, refused  # type: ignore[method-assign]
    setattr(rescuer, "rescue", rescued)  # noqa: B010 - not exported by it


def observe_workers(history: History) -> None:
    """Write down, before a worker notes it, which attempts it begins: one may die before the first line of its job."""
    begin, begin_async = WorkerReports.begin, WorkerReports.begin_async

    def beginning(self: WorkerReports, run: Run, spent: float) -> None:
        history.write("begin", job=str(ObjectId(run.job_id)), attempt=run.attempt)
        begin(self, run, spent)

    def beginning_async(self: WorkerReports, run: Run, spent: float) -> None:
        history.write("begin", job=str(ObjectId(run.job_id)), attempt=run.attempt)
        begin_async(self, run, spent)

    WorkerReports.begin, WorkerReports.begin_async = beginning, beginning_async  # type: ignore[method-assign]


def _end(one: Completion) -> list[Any]:
    return [str(one.fence.job_id), one.fence.attempt, int(one.verdict.status)]


def main(uri: str, options: dict[str, Any]) -> int:
    """Serve until SIGTERM."""
    die_with_parent()
    history = of_environment()
    printing = logging.StreamHandler()
    printing.setFormatter(CompactFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[printing, HistoryHandler(history, options["name"])])
    logging.getLogger("pymongo").setLevel(logging.WARNING)
    observe(history)
    observe_streams(history)
    observe_workers(history)
    clock = sabotage.apply(options.pop("sabotage", []))
    scheduler = Scheduler(uri, clock=clock)
    return QueueNode(scheduler, clock=clock, **{"jobs": ["tests.faults.jobs"], **options}).process()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], json.loads(sys.argv[2])))
