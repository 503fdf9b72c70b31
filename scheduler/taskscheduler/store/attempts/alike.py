"""Groups of simple ends, each of which is written as one: a thousand quick jobs take a few writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter

from bson import ObjectId

from taskscheduler.model.payload import encoded
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import QuickEnd

SLOT = 0.010  #: seconds; quick jobs that began within it and took as long share the write of their end

_AS_LONG = 0.001  #: seconds by which they may differ in how long they took, and in their CPU time

_AS_LARGE = 1024 * 1024  #: bytes by which the peaks of their memory may differ

_RECENT = 4  #: groups with which an end is compared: those of jobs that began shortly before it

_SMALL = 1024  #: bytes of a result that is written together with others; it cannot be nested deeply

_RESULTS = 100  #: results in one update: the server looks for each of them from the front

Simple = QuickEnd | Completion

#: when its attempt began, how long it took, its CPU time, its peak memory, its job, and the end itself
_Timed = tuple[float, float, float, int, ObjectId, Simple]

#: claim, worker, how many joins, and how many jobs ran as one
_Key = tuple[str, str | None, int | None, int]


class Alike:
    """Simple ends that are written as one, with the times of the first."""

    __slots__ = ("_first", "began", "cpu", "ids", "lasted", "peak", "within")

    def __init__(self, first: _Timed) -> None:
        self.began, self.lasted, self.cpu, self.peak, job_id, self._first = first
        self.ids: list[ObjectId] = [job_id]
        self.within = SLOT if self.lasted < SLOT else _AS_LONG  #: seconds in which others have to begin

    @property
    def first(self) -> Completion:
        """The first of them."""
        return self._first.completion() if isinstance(self._first, QuickEnd) else self._first

    def fits(self, began: float, lasted: float, cpu: float, peak: int) -> bool:
        """Whether an end is written with these, which began before. What was not measured is far from everything.

        Those of a job that took as long as a slot or longer are exact to the millisecond.
        """
        return (
            began - self.began < self.within
            and -_AS_LONG < lasted - self.lasted < _AS_LONG
            and (lasted < SLOT or began - self.began < _AS_LONG)
            and -_AS_LONG < cpu - self.cpu < _AS_LONG
            and -_AS_LARGE < peak - self.peak < _AS_LARGE
        )


_BEGAN = itemgetter(0)


def alike(quick: Iterable[QuickEnd], simple: Iterable[Completion] = ()) -> Iterator[Alike]:
    """Divides simple ends into groups, each written as one: those of one claim and worker, of jobs that began together.

    Those of jobs of flows have as many joins: more than are known may have been added since.
    """
    groups: dict[_Key, list[_Timed]] = {}
    for end in quick:
        (job_id, claim, _), worker, began, lasted, cpu, peak, _, _, member = end
        key = claim, worker, -1 if member is None else member.stored, 0
        groups.setdefault(key, []).append((began, lasted, cpu, peak, job_id, end))
    for one in simple:
        groups.setdefault(_key(one), []).append(_timed(one))
    for ends in groups.values():
        ends.sort(key=_BEGAN)
        yield from _divided(ends)


def _key(end: Completion) -> _Key:
    return end.fence.claim, end.worker, -1 if end.member is None else end.member.stored, end.batched


def _timed(end: Completion) -> _Timed:
    """Returns an end with its times. One that does not say when it ended, but when it began, took less than no time."""
    cpu, peak = end.cost.cpu, end.cost.peak_memory
    measured = -1.0 if cpu is None else cpu, peak or 0
    return (end.began, end.ended - end.began, *measured, end.fence.job_id, end)


def _divided(ends: list[_Timed]) -> list[Alike]:
    """Divides ends that may share a write, in the order in which they began."""
    groups: list[Alike] = []
    recent: list[Alike] = []  #: the newest one first: mostly that one fits
    for end in ends:
        began, lasted, cpu, peak, job_id, _ = end
        for group in recent:
            if group.fits(began, lasted, cpu, peak):
                group.ids.append(job_id)
                break
        else:
            group = Alike(end)
            groups.append(group)
            recent = [group, *recent[: _RECENT - 1]]
    return groups


def with_results(completions: Iterable[Completion]) -> list[list[Completion]]:
    """Divides ends that have nothing but a small result into groups of one claim, each of which is written as one."""
    by_claim: dict[str, list[Completion]] = {}
    for one in completions:
        if one.has_result_alone and len(encoded(one.result)) <= _SMALL:
            by_claim.setdefault(one.fence.claim, []).append(one)
    parts = [ends[start : start + _RESULTS] for ends in by_claim.values() for start in range(0, len(ends), _RESULTS)]
    return [part for part in parts if len(part) > 1]  # one alone is an ordinary end, also if the server has refused it
