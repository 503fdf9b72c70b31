"""Which stored jobs a node can use, and which field it names of those that it cannot."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import Binary, DatetimeMS, Decimal128, Int64, MaxKey, ObjectId
from bson.raw_bson import RawBSONDocument

from taskscheduler.model import lenient
from taskscheduler.model.document import new_document
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.options import JobOptions
from taskscheduler.model.payload import CODEC
from taskscheduler.model.readable import (
    fault_of_claimed,
    fault_of_ended,
    fault_of_held,
    fault_of_record,
    fault_of_unclaimable,
    fault_of_waiting,
    faults_of_claimed,
    has_fence,
)
from taskscheduler.model.services import ServiceOptions
from taskscheduler.operations.finish import AttemptEnd, completion_of, completion_of_lost
from taskscheduler.store.fence import Fence
from taskscheduler.store.lenient_reads import RAW
from taskscheduler_daemon.node.state.in_flight import Attempt

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def claimed(**fields: Any) -> dict[str, Any]:
    """A job of every kind of option, as a node claims it."""
    options = JobOptions.of({"interval": 5, "parent": ObjectId(), "silence_timeout": 3, "retry": -1})
    document = new_document("mail", {"to": "me"}, options, NOW)
    return {**document, "attempt": 1, "claim": "c", "solo": "key", "once": "k", **fields}


def service(**fields: Any) -> dict[str, Any]:
    return {**ServiceOptions.of({"name": "mail"}).stored(), **fields}


@pytest.mark.parametrize(
    "job",
    [
        claimed(),
        claimed(service=service()),
        claimed(parent=None),
        claimed(attempt=Int64(7)),
        claimed(options={**claimed()["options"], "timeout": 0.5, "more": "of a later version"}),
        RawBSONDocument(bson.encode(claimed(), codec_options=CODEC), RAW),
        {name: value for name, value in claimed().items() if name not in ("series", "seq", "lost", "retries", "solo")},
    ],
)
def test_what_add_job_writes_can_be_used(job: Any) -> None:
    assert (fault_of_claimed(job), fault_of_held(job), fault_of_record(job), has_fence(job)) == (None, None, None, True)
    assert faults_of_claimed([job, job]) == {}


def test_the_bad_ones_of_a_batch_are_found_among_the_good() -> None:
    bad = claimed(options={**claimed()["options"], "timeout": "600"})
    jobs = [claimed(), bad, claimed(), claimed(attempt="2"), {**bad}, claimed()]
    faults = faults_of_claimed(jobs)
    assert {number: fault.field for number, fault in faults.items()} == {
        1: "options.timeout",
        3: "attempt",
        4: "options.timeout",
    }


@pytest.mark.parametrize("field", ["_id", "class", "attempt", "retries", "lost"])
@pytest.mark.parametrize("value", ["x", -1, 2**40, 1.5, [], {}, None, MaxKey()])
def test_a_job_like_the_last_one_is_looked_at_all_the_same(field: str, value: Any) -> None:
    plain = new_document("mail", None, JobOptions(), NOW) | {"attempt": 1}
    fault = faults_of_claimed([plain, plain, {**plain, field: value}]).get(2)
    if field == "class" and value == "x":
        assert fault is None
    else:
        assert fault is not None
        assert fault.field == field


def test_the_error_names_the_field_and_the_value() -> None:
    fault = fault_of_claimed(claimed(options={**claimed()["options"], "timeout": "600"}))
    assert fault is not None
    assert fault.error() == {
        "type": "InvalidDocumentError",
        "message": "the stored job cannot be used: its field options.timeout must be a number of seconds between 0 and "
        "3162240000, not str '600'",
    }


def test_a_field_of_a_large_document_that_cannot_be_decoded_is_found() -> None:
    job = claimed(options={**claimed()["options"], "extra": Binary(b"x", 4)})
    fault = fault_of_claimed(RawBSONDocument(bson.encode(job, codec_options=CODEC), RAW))
    assert fault is not None
    assert fault.field == "options"


VALUES: list[Any] = [
    None, True, -1, 0, 1, 2**40, 2**62, -0.5, float("nan"), float("inf"), 1e300, "", "text", [], [[1]], {}, b"\0",
    ObjectId(), NOW, DatetimeMS(2**62), Decimal128("1"), MaxKey(), "always", "start",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(300))
def test_whatever_passes_can_be_run_ended_and_rescued(seed: int) -> None:
    chosen = random.Random(seed)
    job = claimed(**({"service": service()} if chosen.random() < 0.5 else {}))
    for _ in range(chosen.choice([1, 1, 2, 5])):
        place = job[chosen.choice(["options", "service"])] if "service" in job and chosen.random() < 0.6 else job
        if isinstance(place, dict):
            place[chosen.choice(sorted(place))] = chosen.choice(VALUES)
    if fault_of_held(job) is None:
        completion_of_lost(job, "node", 3)
    if fault_of_claimed(job) is None:
        fence = Fence(job["_id"], "claim", job["attempt"])
        Attempt(fence, job, b"", 0.0).run().encode()
        for ending in Ending:
            bson.encode({"x": str(completion_of(fence, job, AttemptEnd(ending, {"error": {"message": ""}}), 3))})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, None),
        ({"at": DatetimeMS(2**62)}, None),
        ({"_id": "text"}, "_id"),
        ({"_id": {"a": 1}}, "_id"),
        ({"queue": 5}, "queue"),
        ({"priority": "high"}, "priority"),
        ({"at": "now"}, "at"),
        ({"at": [NOW]}, "at"),
    ],
)
def test_the_place_of_a_waiting_job(change: dict[str, Any], field: str | None) -> None:
    fault = fault_of_waiting({"_id": ObjectId(), "queue": "default", "priority": 0, "at": NOW, **change})
    assert (fault and fault.field) == field


PLAN = {"_id": ObjectId(), "at": NOW, "created": NOW}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, None),
        ({"pending": []}, None),
        ({"pending": ["next"], "next": PLAN}, None),
        ({"pending": ["family"], "parent": ObjectId()}, None),
        ({"pending": "next"}, "pending"),
        ({"pending": ["next"]}, "next"),
        ({"pending": ["next"], "next": 1}, "next"),
        ({"pending": ["next"], "next": {**PLAN, "_id": 5}}, "next._id"),
        ({"pending": ["next"], "next": {**PLAN, "at": "soon"}}, "next.at"),
        ({"pending": ["next"], "next": PLAN, "seq": "one"}, "seq"),
        ({"pending": ["next"], "next": PLAN, "options": []}, "options"),
        ({"pending": ["family"], "parent": "me"}, "parent"),
        ({"status": "done"}, "status"),
    ],
)
def test_the_effects_of_an_ended_job(change: dict[str, Any], field: str | None) -> None:
    fault = fault_of_ended({**claimed(), "status": 3, **change})
    assert (fault and fault.field) == field


def test_a_run_whose_data_cannot_be_decoded_has_no_next_one() -> None:
    job = {**claimed(), "status": 3, "pending": ["next"], "next": PLAN, "data": {"x": Binary(b"x", 4)}}
    fault = fault_of_ended(lenient.decode(bson.encode(job, codec_options=CODEC)))
    assert fault is not None
    assert fault.field == "data.x"


@pytest.mark.parametrize(("attempt", "field"), [("2", "attempt"), ([1], "attempt"), (3, "document")])
def test_a_job_that_the_database_refuses_to_claim(attempt: Any, field: str) -> None:
    assert fault_of_unclaimable({"attempt": attempt}).field == field


@pytest.mark.parametrize("before", [[], ["sound"]])
def test_a_job_without_options_is_never_taken_for_an_ordinary_one(before: list[str]) -> None:
    plain = {**new_document("mail", None, JobOptions(), NOW), "attempt": 1}
    without = {name: value for name, value in plain.items() if name != "options"}
    faults = faults_of_claimed([*(plain for _ in before), without])
    assert [(place, fault.field) for place, fault in faults.items()] == [(len(before), "options")]
