"""The end of a quick attempt that is like a thousand others, kept small: nodes write most of their ends so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import NamedTuple

from bson import ObjectId

from taskscheduler.model.attempts.cost import Cost
from taskscheduler.model.flows.membership import Membership
from taskscheduler.model.lifecycle import Ending, Status, Transition, Verdict
from taskscheduler.model.metrics.counts import Sample, Series
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.fence import Fence

DONE = Verdict(Transition.SUCCEED)

SLOT = 0.010  #: seconds; quick jobs that began within it and took as long share the write of their end

AS_LONG = 0.001  #: seconds by which they may differ in how long they took, and in their CPU time

AS_LARGE = 1024 * 1024  #: bytes by which the peaks of their memory may differ

RECENT = 4  #: groups with which an end is compared: those of jobs that began shortly before it


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


class Alike:
    """Quick ends that are written as one, with the times of the first."""

    __slots__ = ("began", "cpu", "first", "ids", "lasted", "peak", "within")

    def __init__(self, first: QuickEnd) -> None:
        self.first = first
        self.ids: list[ObjectId] = [first.fence.job_id]
        self.lasted, self.cpu, self.peak = first.lasted, first.cpu, first.peak_memory
        self.began = first.began
        self.within = SLOT if first.lasted < SLOT else AS_LONG  #: seconds in which others have to begin

    def fits(self, began: float, lasted: float, cpu: float, peak: int) -> bool:
        """Whether an end is written with these, which began before. What was not measured is far from everything."""
        return (
            began - self.began < self.within
            and -AS_LONG < lasted - self.lasted < AS_LONG
            and (lasted < SLOT or began - self.began < AS_LONG)
            and -AS_LONG < cpu - self.cpu < AS_LONG
            and -AS_LARGE < peak - self.peak < AS_LARGE
        )


_BEGAN = attrgetter("began")


def alike(ends: Iterable[QuickEnd]) -> Iterator[Alike]:
    """Divides ends into groups, each written as one: those of one claim and worker, of jobs that began together.

    Those of jobs of flows have as many joins: more than are known may have been added since.
    """
    by_worker: dict[tuple[str, str, int | None], list[QuickEnd]] = {}
    for end in ends:
        (_, claim, _), worker, _, _, _, _, _, _, member = end
        key = claim, worker, -1 if member is None else member.stored
        by_worker.setdefault(key, []).append(end)
    for of_worker in by_worker.values():
        of_worker.sort(key=_BEGAN)
        yield from _divided(of_worker)


def _divided(ends: list[QuickEnd]) -> list[Alike]:
    """Divides the ends of one claim and worker, in the order in which they began."""
    groups: list[Alike] = []
    recent: list[Alike] = []  #: the newest one first: mostly that one fits
    for end in ends:
        fence, _, began, lasted, cpu, peak, _, _, _ = end
        for group in recent:
            if group.fits(began, lasted, cpu, peak):
                group.ids.append(fence.job_id)
                break
        else:
            group = Alike(end)
            groups.append(group)
            recent = [group, *recent[: RECENT - 1]]
    return groups
