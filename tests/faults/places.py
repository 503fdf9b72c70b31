"""Pure: the promises about limits and sequences: never one too many at work, in order, and no place is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.faults.checker import FAILED, FINAL, TIMEOUT, Facts, Violation
from tests.faults.executions import Execution, Pause, excused, pauses

#: what is set in a run
LIMITS: Mapping[str, Mapping[str, Any]] = {
    "faults.three": {"concurrency": 3},
    "faults.tenant:*": {"concurrency": 1},
    "faults.rated": {"rate": 5, "burst": 1},
}
_MARGIN = 1.0  #: seconds that a thawed or cancelled job may take to be killed, on a busy machine
_NEVER = float("inf")

Runs = list[tuple[str, Execution]]
Frozen = dict[int, list[Pause]]


def limits_are_kept(facts: Facts) -> Iterator[Violation]:
    """Never more jobs of a limit are at work than it allows, but for those whose worker or manager was frozen."""
    frozen = pauses(facts.events)
    settings = {event["name"]: event["concurrency"] for event in facts.of("limit")}
    for name, runs in _by_name(facts, "limits").items():
        most = next((count for pattern, count in settings.items() if _covers(pattern, name)), None)
        for job, beside in [] if most is None else _too_many(runs, most, frozen):
            text = f"it began beside {beside}, and limit {name} allows {most}"
            yield Violation("never more jobs of a limit are at work than it allows", job, text)


def one_of_a_sequence(facts: Facts) -> Iterator[Violation]:
    """Of a sequence never two are at work, but for one whose worker or manager was frozen."""
    frozen = pauses(facts.events)
    for name, runs in _by_name(facts, "sequence").items():
        for job, beside in _too_many(runs, 1, frozen):
            yield Violation("jobs of a sequence run one at a time", job, f"it began beside {beside} of {name}")


def sequences_are_in_order(facts: Facts) -> Iterator[Violation]:
    """No attempt of a job begins after one of a job whose add began when that of the first one had returned."""
    for name, first, other in _in_order(facts):
        runs, following = facts.runs.get(first), facts.runs.get(other)
        if runs and following and runs[-1].began > following[0].began:
            text = f"attempt {runs[-1].attempt} began after {other}, which was added after it to {name}"
            yield Violation("jobs of a sequence run in the order of adding", first, text)


def failures_block(facts: Facts) -> Iterator[Violation]:
    """With `sequence_on_failure="block"` the next job begins when somebody has released the sequence, not before."""
    for name, failed, other in _in_order(facts):
        document, following = facts.documents[failed], facts.runs.get(other)
        if not following or document["status"] not in (FAILED, TIMEOUT) or not _blocks(document):
            continue
        began = max((run.began for run in facts.runs.get(failed, ())), default=-_NEVER)
        if not any(called < following[0].began and over > began for called, over in _releases(facts, name)):
            yield Violation("a failure blocks its sequence until it is released", failed, f"{other} began nevertheless")


def no_place_is_kept(facts: Facts) -> Iterator[Violation]:
    """What has ended keeps its place only as long as its worker may still be there, and no turn."""
    for job, document in facts.documents.items():
        if document["status"] in FINAL and "gate" in document and "gate_until" not in document:
            yield Violation("no place is kept", job, f"status {document['status']} with {document['gate']!r}")
        elif document["status"] in FINAL and "turn" in document:
            yield Violation("no place is kept", job, f"status {document['status']} with the turn of its sequence")
    for event in facts.of("kept"):
        yield Violation("no place is kept", event["job"], "nobody has freed it")


def nothing_stays_parked(facts: Facts) -> Iterator[Violation]:
    """What waits for a control is let in some time, or ended."""
    for job, document in facts.documents.items():
        if "blocked" in document or "parked_at" in document:
            text = f"status {document['status']} in the list {document.get('blocked')!r}"
            yield Violation("nothing stays parked", job, text)


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _too_many(runs: Runs, most: int, frozen: Frozen) -> Iterator[tuple[str, list[str]]]:
    """The jobs that began when `most` others were at work, each with those."""
    at_work: Runs = []
    for job, run in runs:
        at_work = [(other, earlier) for other, earlier in at_work if earlier.last > run.began]
        beside = [other for other, earlier in at_work if not excused(earlier, run, frozen, _MARGIN)]
        if len(beside) >= most:
            yield job, beside
        at_work.append((job, run))


def _by_name(facts: Facts, field: str) -> dict[str, Runs]:
    """The executions under each name with their jobs, in the order in which they began."""
    found: dict[str, Runs] = {}
    for job, runs in facts.runs.items():
        names = facts.documents.get(job, {}).get(field, ())
        for name in [names] if isinstance(names, str) else names:
            found.setdefault(name, []).extend((job, run) for run in runs)
    return {name: sorted(runs, key=lambda entry: entry[1].began) for name, runs in found.items()}


class _Added(NamedTuple):
    """When the add of a job was called and had returned, and its number in a batch."""

    called: float
    number: int
    returned: float
    job: str

    def is_before(self, other: _Added) -> bool:
        """Whether it was certainly added before another one."""
        together = self.called == other.called and self.number < other.number and self.returned < _NEVER
        return together or self.returned < other.called


def _in_order(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """The sequences with pairs of their jobs, of which the first was certainly added before the second."""
    returned = {job: event["t"] for event in facts.of("acked") for job in event["ids"]}
    sequences: dict[str, list[_Added]] = {}
    for event in facts.of("add"):
        for number, job in enumerate(event["ids"]):
            name = facts.documents.get(job, {}).get("sequence")
            if name is not None:
                added = _Added(event["t"], number, returned.get(job, _NEVER), job)
                sequences.setdefault(name, []).append(added)
    for name, jobs in sequences.items():
        for place, first in enumerate(jobs):
            yield from ((name, first.job, other.job) for other in jobs[place + 1 :] if first.is_before(other))


def _blocks(document: Mapping[str, Any]) -> bool:
    return bool(document["options"].get("sequence_on_failure") == "block")


def _releases(facts: Facts, name: str) -> list[tuple[float, float]]:
    """From when to when somebody released a sequence; whoever has died meanwhile may have done it at any time."""
    found: dict[str, tuple[float, float]] = {}
    for event in facts.of("release", "released"):
        if event["key"] == name:
            called = event["t"] if event["what"] == "release" else found[event["call"]][0]
            found[event["call"]] = (called, _NEVER if event["what"] == "release" else event["t"])
    return list(found.values())
