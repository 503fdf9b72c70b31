"""Which indexes a job needs before it is stored, and which ones have all jobs that a query can find."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from tests.support.tables import table

from taskscheduler.model.document import new_document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import JOB_CHECKS, JobOptions
from taskscheduler.store.indexes.definitions import ON_DEMAND, asked_for, needed_after, needed_by

NOW = datetime(2026, 1, 2, tzinfo=UTC)

#: what a job has that is not in the document of its options, and the index that it needs
FIELDS: dict[str, dict[str, Any]] = {
    "async": {"async": True},
    "once": {"once": "data:noop:1"},
    "dedupe": {"dedupe": "data:noop:1"},
    "schedule": {"schedule": "nightly"},
    "service": {"service": {"name": "mailer"}},
    "tracked": {"program": {"host": "h"}, "status": int(Status.PROCESSING)},
}

#: a value for each option, and the indexes that it needs
OPTIONS: dict[str, tuple[Any, set[str]]] = {
    "force_spawn": (True, {"force"}),
    "interval": (60, {"series"}),
    "parent": (ObjectId(), {"parent"}),
    "retry_for": (60, {"expires"}),
    "start_by": (60, {"expires"}),
    "tags": (["a"], {"tags"}),
}

#: the stores of sequences, flows, batches and signals make these
OF_OTHERS = {"sequence", "flow", "open", "batch", "awaits"}

#: fields that a later write gives to jobs of these options
LATER: dict[str, dict[str, Any]] = {"retry_for": {"expires": NOW}}

#: values for the options that need no index
PLAIN: dict[str, Any] = {
    "priority": 1,
    "queue": "mail",
    "at": timedelta(seconds=9),
    "retry": 1,
    "retry_interval": 1,
    "timeout": 1,
    "interval_reference": "start",
    "backoff": "exponential",
    "retry_interval_max": 9,
    "jitter": 0.5,
    "id": ObjectId(),
    "silence_timeout": 9,
    "ignore_data": True,
    "solo": True,
    "limits": ["a"],
    "sequence": "s",
    "group": "g",
    "sequence_on_failure": "block",
    "unique_for": 60,
    "unique_key": "k",
    "dedupe": True,
    "debounce": 1,
    "debounce_max": 9,
}


def document(**fields: Any) -> dict[str, Any]:
    return {**new_document("noop", None, JobOptions.of({}), NOW), **fields}


def is_in(job: Mapping[str, Any], name: str) -> bool:
    """Whether a job meets the condition of an index."""
    condition = ON_DEMAND[name].document["partialFilterExpression"]
    return all(_meets(_value(job, field), asked) for field, asked in condition.items())


def _value(job: Any, field: str) -> Any:
    for part in field.split("."):
        job = job.get(part) if isinstance(job, Mapping) else None
    return job


def _meets(value: Any, asked: Any) -> bool:
    if asked == {"$exists": True}:
        return value is not None
    return bool(value < asked["$lt"]) if isinstance(asked, Mapping) else bool(value == asked)


def test_a_plain_job_needs_none() -> None:
    assert needed_by(document()) == needed_by({}) == frozenset()


def test_each_option_is_known_here() -> None:
    assert JOB_CHECKS.keys() == OPTIONS.keys() | PLAIN.keys(), "does it need an index?"


@table("option", OPTIONS)
def test_an_option_needs_its_index(option: str) -> None:
    value, needed = OPTIONS[option]
    job = new_document("noop", None, JobOptions.of({option: value}), NOW)
    assert needed_by(job) == needed
    assert {name for name in ON_DEMAND if is_in({**job, **LATER.get(option, {})}, name)} == needed


@table("name", FIELDS)
def test_a_field_needs_its_index(name: str) -> None:
    job = document(**FIELDS[name])
    assert needed_by(job) == {name}
    assert is_in(job, name)


def test_all_of_them_are_needed_by_something() -> None:
    """A new index is made by nobody unless a rule says for which jobs."""
    of_options = set[str]().union(*(needed for _, needed in OPTIONS.values()))
    assert of_options | FIELDS.keys() | OF_OTHERS == ON_DEMAND.keys()


def test_the_index_of_several_options_and_fields() -> None:
    options = {"tags": ["a"], "force_spawn": True, "start_by": 9}
    job = {**new_document("noop", None, JobOptions.of(options), NOW), "once": "k"}
    assert needed_by(job) == {"tags", "force", "expires", "once"}


@table(
    ("changes", "needed"),
    [
        ({"priority": 3, "data": None}, set()),
        ({"tags": ["a"]}, {"tags"}),
        ({"tags": None}, set()),
        ({"options.retry_for": 60}, {"expires"}),
        ({"options.retry_for": 0, "options.retry": 3}, set()),
        ({"options": {"force_spawn": True, "start_by": 9}, "tags": None}, {"force", "expires"}),
    ],
)
def test_changes_of_a_stored_job_need_indexes(changes: dict[str, Any], needed: set[str]) -> None:
    assert needed_after(changes) == needed


@table(
    ("query", "names"),
    [
        ({}, set()),
        ({"class": "noop", "status": {"$in": [0]}}, set()),
        ({"tags": "a"}, {"tags"}),
        ({"tags": {"$in": ["a", "b"]}, "parent": ObjectId()}, {"tags", "parent"}),
        ({"tags": {"$in": ["a", None]}}, set()),
        ({"tags": None}, set()),
        ({"tags": {"$exists": False}}, set()),
        ({"tags": {"$ne": "a"}}, set()),
        ({"service.name": {"$exists": True}}, {"service"}),
        ({"program": {"$exists": True}, "status": 2}, {"tracked"}),
        ({"schedule": {"$eq": "nightly"}}, {"schedule"}),
        ({"flow": ObjectId()}, {"flow"}),
        ({"$and": [{"series": ObjectId()}, {"once": "k"}]}, {"series", "once"}),
        ({"$or": [{"series": ObjectId()}, {"class": "noop"}]}, set()),
        ({"$nor": [{"program": {"$exists": True}}]}, set()),
    ],
)
def test_a_query_asks_for_jobs_of_an_index(query: dict[str, Any], names: set[str]) -> None:
    assert asked_for(query) == names
