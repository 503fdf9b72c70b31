"""A queue node that writes down what it does, and can have single mechanisms taken out of it.

python -m tests.faults.nodes URI '{"name": "a", "sabotage": ["fence"], ...}'
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

from pymongo.change_stream import ChangeStream

from taskscheduler import Scheduler
from taskscheduler.store.attempt_updates import Completion
from taskscheduler_daemon import QueueNode
from taskscheduler_daemon.logs import CompactFormatter
from taskscheduler_daemon.node.completion.completer import Completer
from taskscheduler_daemon.node.maintenance import rescuer
from tests.faults import sabotage
from tests.faults.history import History, of_environment
from tests.faults.processes import die_with_parent

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class HistoryHandler(logging.Handler):
    """Writes the log of the node, its manager and its workers into the history as well."""

    def __init__(self, history: History, node: str) -> None:
        super().__init__(logging.INFO)
        self._history = history
        self._node = node

    def emit(self, record: logging.LogRecord) -> None:
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        self._history.write("log", by=self._node, text=record.getMessage(), level=record.levelname, extra=extra)


def observe(history: History) -> None:
    """Write down which ends are recorded or refused, which jobs are taken back, and when a stream is resumed."""
    follow, refuse = Completer._follow, Completer._report_fenced
    rescue: Callable[..., Any] = vars(rescuer)["rescue"]

    def followed(self: Completer, landed: list[Completion]) -> None:
        history.write("recorded", ends=[_end(one) for one in landed if not one.unstarted])
        follow(self, landed)

    def refused(self: Completer, completions: list[Completion], landed: list[Completion]) -> None:
        ends = [_end(one) for one in completions if one not in landed]
        if ends:
            history.write("fenced", ends=ends)
        refuse(self, completions, landed)

    def rescued(*args: Any) -> Any:
        jobs = rescue(*args)
        history.write("reaped", jobs=[str(job) for job, _ in jobs])
        return jobs

    resume: Callable[..., None] = ChangeStream._resume

    def resumed(self: ChangeStream[Any]) -> None:
        resume(self)
        history.write("resumed")

    ChangeStream._resume = resumed  # type: ignore[method-assign]
    Completer._follow, Completer._report_fenced = followed, refused  # type: ignore[method-assign]
    setattr(rescuer, "rescue", rescued)  # noqa: B010 - not exported by it


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
    clock = sabotage.apply(options.pop("sabotage", []))
    scheduler = Scheduler(uri, clock=clock)
    return QueueNode(scheduler, clock=clock, **{"jobs": ["tests.faults.jobs"], **options}).process()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], json.loads(sys.argv[2])))
