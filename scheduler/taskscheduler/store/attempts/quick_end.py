"""The end of a quick attempt that is like a thousand others, kept small: nodes write most of their ends so."""

from __future__ import annotations

from typing import NamedTuple

from taskscheduler.model.attempts.cost import Cost
from taskscheduler.model.flows.membership import Membership
from taskscheduler.model.lifecycle import Ending, Status, Transition, Verdict
from taskscheduler.model.metrics.counts import Sample, Series
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.fence import Fence

DONE = Verdict(Transition.SUCCEED)


class QuickEnd(NamedTuple):
    """The end of the first attempt at a job that is done without a result.

    Nothing follows from it, or only that jobs of its flow may begin.
    """

    fence: Fence
    worker: str
    began: float  #: when it began, a unix time by the server's clock
    lasted: float  #: seconds
    cpu: float  #: seconds; negative: not measured
    peak_memory: int  #: bytes; 0: not measured
    series: Series
    wait: float | None  #: seconds from when it was due until it began; None: that is not known
    member: Membership | None = None  #: of a flow

    def completion(self) -> Completion:
        """Returns the same as any other end, to be written by itself or to be counted later."""
        cost = Cost(self.cpu if self.cpu >= 0 else None, self.peak_memory or None)
        completion = Completion(self.fence, DONE, self.worker, began=self.began, ended=self.began + self.lasted)
        completion.cost, completion.member = cost, self.member
        completion.sample = Sample(self.series, Ending.SUCCEEDED, self.wait, self.lasted)
        return completion

    @property
    def event(self) -> dict[str, object]:
        """Its entry in the log of status changes."""
        return {"job": self.fence.job_id, "status": _DONE, "attempt": 1}


_DONE = int(Status.DONE)
