"""Pure: the promises about keys that jobs and programs share, and about services."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.checker import FINAL, Facts, Violation
from tests.faults.executions import Execution, excused, pauses

_MARGIN = 1.0  #: seconds that a thawed or cancelled job may take to be killed, on a busy machine
FREED_LATE = 8.0  #: seconds beyond the silence of a program, when no fault is under way, until its key is free
BACK_WITHIN = 15.0  #: seconds from the last fault to the first sign of life of each service


def one_at_a_time(facts: Facts) -> Iterator[Violation]:
    """Of all jobs and programs with a key never two are at work, unless the first one's worker or manager was frozen.

    For a program that is no excuse: it knows itself how long it was silent.
    """
    frozen = pauses(facts.events)
    for key, runs in _by_key(facts).items():
        for number, (job, earlier) in enumerate(runs):
            for other, later in runs[number + 1 :]:
                if other == job or later.began >= earlier.last:
                    continue
                if _is_program(facts, job) or not excused(earlier, later, frozen, _MARGIN):
                    text = f"went on for {earlier.last - later.began:.2f} s beside {other}, key {key}"
                    yield Violation("solo jobs of one key do not overlap", job, text)


def dead_programs_end(facts: Facts) -> Iterator[Violation]:
    """The record of a program that says nothing any more is ended, and with it its turn."""
    over = _last_fault(facts)
    ended = {change["job"]: change["t"] for change in facts.changes if change["set"].get("status") in FINAL}
    for job, document in facts.documents.items():
        if over is None or "program" not in document:
            continue
        limit = document["options"]["silence_timeout"] + FREED_LATE
        silent_since = max([over, *(run.last for run in facts.runs.get(job, ()))])
        late = ended.get(job, float("inf")) - silent_since
        if late > limit:
            yield Violation("the key of a dead program is free again", job, f"after {late:.1f} s of {limit} s")


def services_come_back(facts: Facts) -> Iterator[Violation]:
    """Whatever has happened to a service, it runs again soon after the last fault."""
    over = _last_fault(facts)
    for event in facts.of("service"):
        runs = facts.runs.get(event["job"], ())
        if over is not None and not any(run.last > over and run.began < over + BACK_WITHIN for run in runs):
            yield Violation("a service comes back", event["job"], f"no sign of life for {BACK_WITHIN} s")


def services_stop(facts: Facts) -> Iterator[Violation]:
    """When it is said that a service was stopped, nothing is left of it."""
    for event in facts.of("service"):
        if "why" in event:
            yield Violation("a service stops when it is asked to", event["job"], event["why"])
        for run in facts.runs.get(event["job"], ()):
            if run.last > event["t"]:
                text = f"it went on for {run.last - event['t']:.2f} s"
                yield Violation("a service stops when it is asked to", event["job"], text)


def _by_key(facts: Facts) -> dict[str, list[tuple[str, Execution]]]:
    """The executions of each key with their jobs, in the order in which they began."""
    found: dict[str, list[tuple[str, Execution]]] = {}
    for job, runs in facts.runs.items():
        key = facts.documents.get(job, {}).get("solo")
        if key is not None:
            found.setdefault(key, []).extend((job, run) for run in runs)
    return {key: sorted(runs, key=lambda entry: entry[1].began) for key, runs in found.items()}


def _is_program(facts: Facts, job: str) -> bool:
    return "program" in facts.documents[job]


def _last_fault(facts: Facts) -> float | None:
    """When the last fault was over; None if there was none to be over."""
    return next((event["t"] for event in facts.of("over")), None)
