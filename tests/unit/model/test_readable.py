"""Which stored jobs a node can use, and which field it names of those that it cannot."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from itertools import product
from typing import Any

import bson
import pytest
from bson import Binary, DatetimeMS, Int64, MaxKey, ObjectId
from bson.raw_bson import RawBSONDocument
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.odd_documents import VALUES, stored
from tests.support.tables import table

from taskscheduler.model import lenient
from taskscheduler.model.document import new_document
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.options import JobOptions, latest_start
from taskscheduler.model.payload import CODEC
from taskscheduler.model.readable import (
    fault_of_claimed,
    fault_of_ended,
    fault_of_held,
    fault_of_late,
    fault_of_parked,
    fault_of_record,
    fault_of_unclaimable,
    fault_of_waiting,
    faults_of_claimed,
    has_fence,
)
from taskscheduler.model.retries import move_when_late
from taskscheduler.model.schedules import successor
from taskscheduler.model.services import ServiceOptions
from taskscheduler.operations.finish import AttemptEnd, completion_of, completions_of_lost
from taskscheduler.operations.late import _error as _error_of_late
from taskscheduler.store.attempts.ending import completion_update
from taskscheduler.store.fence import Fence
from taskscheduler.store.lenient_reads import RAW
from taskscheduler.store.programs import _end_of_lost
from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.state.in_flight import Attempt

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def claimed(**fields: Any) -> dict[str, Any]:
    """A job of every kind of option, as a node claims it."""
    rare = {
        "backoff": [1, 5],
        "retry_interval_max": 60,
        "jitter": 0.5,
        "retry_for": 9,
        "start_by": 7,
        "sequence_on_failure": "block",
    }
    options = JobOptions.of({"interval": 5, "parent": ObjectId(), "silence_timeout": 3, "retry": -1, **rare})
    document = new_document("mail", {"to": "me"}, options, NOW)
    controls = {"sequence": "s", "limits": ["a"], "solo": "key"}
    return {**document, "attempt": 1, "claim": "c", **controls, "once": "k", "first_started": NOW, **fields}


def service(**fields: Any) -> dict[str, Any]:
    return {**ServiceOptions.of({"name": "mail"}).stored(), **fields}


@table(
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


@table("field", ["_id", "class", "attempt", "retries", "lost"])
@table("value", ["x", -1, 2**40, 1.5, [], {}, None, MaxKey()])
def test_a_job_like_the_last_one_is_looked_at_all_the_same(field: str, value: Any) -> None:
    plain = new_document("mail", None, JobOptions(), NOW) | {"attempt": 1}
    fault = faults_of_claimed([plain, plain, {**plain, field: value}]).get(2)
    if field == "class" and value == "x":
        assert fault is None
    else:
        assert fault is not None
        assert fault.field == field


@table("odd", [5, [5], ["a", None], {"a": 1}, []])
@table("field", ["sequence", "limits", "solo"])
def test_a_control_without_a_name_is_a_fault(field: str, odd: Any) -> None:
    for fault in (fault_of_parked({field: odd}), fault_of_claimed(claimed(**{field: odd}))):
        assert fault is not None
        assert fault.field == field


def test_a_job_need_not_be_under_all_controls() -> None:
    sound = {"sequence": "s", "limits": ["a", "b"], "solo": "k"}
    assert fault_of_parked(sound) is None
    assert [fault_of_parked({name: value}) for name, value in sound.items()] == [None, None, None]


def test_the_error_names_the_field_and_the_value() -> None:
    fault = fault_of_claimed(claimed(options={**claimed()["options"], "timeout": "600"}))
    assert fault is not None
    assert fault.error() == {
        "type": "InvalidDocumentError",
        "message": "the stored job cannot be used: its field options.timeout must be a number of seconds between 0 and "
        "3162240000, not str '600'",
        "place": "field options.timeout",
    }


def test_a_field_of_a_large_document_that_cannot_be_decoded_is_found() -> None:
    job = claimed(options={**claimed()["options"], "extra": Binary(b"x", 4)})
    fault = fault_of_claimed(RawBSONDocument(bson.encode(job, codec_options=CODEC), RAW))
    assert fault is not None
    assert fault.field == "options"


ENDED = {
    **claimed(),
    "status": 3,
    "pending": ["next", "family", "hook"],
    "next": {"_id": ObjectId(), "at": NOW, "created": NOW},
}


MARK = {"of": "node", "times": 1, "alone": "claim"}

#: those that hypothesis can print
SMALL = [value for value in VALUES if len(repr(value)) < 500]

MISSING = "no value"

#: each fourth is missing
ODD = [*SMALL, *[MISSING] * (len(SMALL) // 3)]


def places(job: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all fields, also of inner ones."""
    return [
        place
        for name, value in (job.items() if isinstance(job, dict) else ())
        for place in ((*above, name), *places(value, (*above, name)))
    ]


def changed_jobs(sound: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Jobs in which up to five fields are missing or have any values, as they are read."""
    changes = st.sampled_from([*product(places(sound), ODD)])  # one draw: each costs more than what is tested
    return st.builds(as_read, st.just(sound), st.lists(changes, max_size=5), st.booleans())


def as_read(sound: dict[str, Any], changes: list[tuple[tuple[Any, ...], Any]], undecoded: bool) -> Any:
    job = copied(sound)
    for place, value in changes:
        inner: Any = job
        for name in place[:-1]:
            inner = inner.get(name) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and value is MISSING:
            inner.pop(place[-1], None)
        elif isinstance(inner, dict):
            inner[place[-1]] = copy.copy(value)
    raw = stored(job, job.pop("_id", ObjectId()))
    return RawBSONDocument(raw, RAW) if undecoded and len(raw) > 2048 else lenient.decode(raw)


def copied(job: dict[str, Any]) -> dict[str, Any]:
    return {name: copied(value) if isinstance(value, dict) else value for name, value in job.items()}


@settings(max_examples=80)
@given(
    st.one_of(
        changed_jobs(claimed()),
        changed_jobs(claimed(service=service())),
        changed_jobs(claimed(suspect=MARK, signalled=3)),
    )
)
def test_whatever_passes_can_be_run_ended_and_rescued(job: Any) -> None:
    if fault_of_held(job) is None:
        completions_of_lost([job], "node", 3)
    if fault_of_record(job) is None and "silence_timeout" in job["options"]:
        _end_of_lost({**job, "program": {"pid": 1, "host": "h"}})
    if fault_of_late(job) is None:
        _error_of_late(job, move_when_late(job))
        latest_start(job["options"].get("start_by"), NOW)
    if fault_of_claimed(job) is None:
        fence = Fence(job["_id"], "claim", job["attempt"])
        Attempt(fence, job, b"", 0.0).run().encode()
        for ending in Ending:
            completion = completion_of(fence, job, AttemptEnd(ending, {"error": {"message": ""}}, "w", ended=1e9), 3)
            completion_update(completion)


@settings(max_examples=60)
@given(changed_jobs(ENDED))
def test_whatever_passes_has_a_next_run_that_can_be_stored(job: Any) -> None:
    if fault_of_ended(job) is None and "next" in job.get("pending", ()):
        bson.encode(successor(job), codec_options=CODEC)


@given(st.lists(changed_jobs({"_id": ObjectId(), "queue": "default", "priority": 0, "at": NOW}), max_size=4))
def test_whatever_passes_can_be_searched_for(jobs: list[Any]) -> None:
    found = [job for job in jobs if fault_of_waiting(job) is None]
    search, partition = Search([]), Partition(ObjectId(), 30.0)
    partition.know([{"_id": ObjectId(), "silent": 0.0, "queues": []}], 0.0)
    search.know({job["queue"] for job in found})
    search.found(found, len(found))
    partition.ours(found, 2, True, 0.0)
    bson.encode({"after": search.cursor}, codec_options=CODEC)


@table(
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


@table(
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
        ({"pending": ["next"], "next": {**PLAN, "at": DatetimeMS(2**62)}}, "next.at"),
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


@table(
    ("mark", "field"),
    [
        ({"of": "node", "times": 1}, None),
        (7, "suspect"),
        ({}, "suspect.of"),
        ({"of": "moon", "times": 1}, "suspect.of"),
        ({"of": "node"}, "suspect.times"),
        ({"of": "worker", "times": "many"}, "suspect.times"),
    ],
)
def test_the_mark_of_a_suspect(mark: Any, field: str | None) -> None:
    for judge in (fault_of_claimed, fault_of_held):
        fault = judge(claimed(suspect=mark))
        assert (fault and fault.field) == field
