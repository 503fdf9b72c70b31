"""One run of many jobs in a worker: decodes them, and reports those that end otherwise than the run."""

from __future__ import annotations

from typing import Any

from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.jobs.batches import BatchRun
from taskscheduler.jobs.executor import refusal
from taskscheduler.model import lenient
from taskscheduler.model.attempt_result import AttemptResult
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.readable import fault_of_decoding
from taskscheduler_daemon.ipc.messages import Flag, Run
from taskscheduler_daemon.worker.reports import Ran, WorkerReports

_BATCH = int(Flag.BATCH)

#: hands all back, since the class has no option `batch` here: the node runs its jobs one by one from now on
_ALONE = AttemptResult(Ending.UNSTARTED, {"alone": True})


class BatchWork:
    """The jobs of a run, as the node has gathered them."""

    def __init__(self, run: Run) -> None:
        self.documents: list[dict[str, Any]] = [lenient.decode(raw) for raw in run.documents()]
        self.batch = BatchRun(self.documents)
        self.is_ordinary = False  #: whether it was executed, and not in an event loop
        self._run = run
        for place, document in enumerate(self.documents):
            if (fault := fault_of_decoding(document)) is not None:
                self.batch.refuse(place, AttemptResult(Ending.FAILED, {"error": fault.error()}))

    @property
    def refusal(self) -> AttemptResult | None:
        """How the run ends if this worker cannot make it: its class is not known here, or has no option `batch`."""
        name = self.documents[0]["class"]
        spec = REGISTRY.find(name)
        if spec is None:
            return refusal(name)
        return _ALONE if spec.batch is None else None

    def report(self, reports: WorkerReports, run: AttemptResult, ran: Ran) -> None:
        """Reports the jobs that did not end as the run did, which is reported after them."""
        for place, outcome in self.batch.outcomes(run).items():
            reports.item_ended(self._run, self.documents[place], outcome, ran)


def batch_work(run: Run) -> BatchWork | None:
    """Returns the jobs of a run of many; None for a run of one."""
    return BatchWork(run) if run.flags & _BATCH else None
