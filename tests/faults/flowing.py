"""Pure: the promises about flows and transactions: who may begin when, and what exists exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from tests.faults.checker import CANCELED, DONE, FINAL, PROCESSING, WAITING, Facts, Violation

_PAYING = "faults.paying"


def in_their_turn(facts: Facts) -> Iterator[Violation]:
    """A job of a flow can begin when all before it are DONE, and is cancelled if one of them ends otherwise."""
    released, done = _first(facts, {WAITING, PROCESSING}), _first(facts, {DONE})
    for event in facts.of("flow"):
        for job, others in event["before"].items():
            for other in others:
                if job in released and done.get(other, released[job] + 1) > released[job]:
                    yield Violation(
                        "a job of a flow comes after those before it", job, f"it could begin before {other}"
                    )
                if _ended_badly(facts, other) and facts.documents.get(job, {}).get("status") != CANCELED:
                    yield Violation("what comes after a failure is cancelled", job, f"though {other} has failed")


def flows_end(facts: Facts) -> Iterator[Violation]:
    """And are stored with all of their jobs, or not at all."""
    for event in facts.of("flow"):
        stored = [job for job in event["jobs"] if job in facts.documents]
        if len(stored) not in (0, len(event["jobs"])):
            yield Violation("a flow is there as a whole", event["flow"], f"{len(stored)} of {len(event['jobs'])} jobs")
    for event in facts.of("flow_left"):
        yield Violation("every flow ends", event["flow"], f"status {event['status']} after the drain")


def effects_exist_once(facts: Facts) -> Iterator[Violation]:
    """What a job writes through `commit` is there once if it is DONE, and else not."""
    effects = Counter(event["job"] for event in facts.of("effect"))
    paying = {job for job, document in facts.documents.items() if document.get("class") == _PAYING}
    for job in paying | set(effects):
        done = facts.documents.get(job, {}).get("status") == DONE
        if effects[job] != done:
            yield Violation("an effect exists exactly once", job, f"{effects[job]} times, the job is done: {done}")


def orders_have_their_job(facts: Facts) -> Iterator[Violation]:
    """What was added in a transaction is there exactly if the other writes of it are."""
    orders, ordered = Counter(event["job"] for event in facts.of("order")), facts.ids("ordering")
    for job in ordered | set(orders):
        if orders[job] != (job in facts.documents):
            text = f"{orders[job]} orders, the job is there: {job in facts.documents}"
            yield Violation("a job exists exactly if its transaction has committed", job, text)


def _first(facts: Facts, statuses: set[int]) -> Mapping[str, int]:
    """The number of the first change to one of these statuses, by job."""
    found: dict[str, int] = {}
    for change in facts.changes:
        if change["set"].get("status") in statuses:
            found.setdefault(change["job"], change["n"])
    return found


def _ended_badly(facts: Facts, job: str) -> bool:
    status = facts.documents.get(job, {}).get("status")
    return status in FINAL and status != DONE
