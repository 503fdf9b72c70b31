"""Claimed jobs as they are read back: as bytes for the worker, decoded only as far as it pays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from tests.support.tables import table

from taskscheduler.model.control.keys import FAR
from taskscheduler.model.payload import CODEC
from taskscheduler.store.claimed_job import READ_BACK, ClaimedJob, decode, decode_batch, split_documents


def a_job(data: Any = None) -> dict[str, Any]:
    return {"_id": ObjectId(), "class": "mail", "data": data, "attempt": 2, "options": {"retry": 1}}


@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_bytes_of_an_answer_are_split_into_its_documents(count: int) -> None:
    jobs = [bson.encode(a_job("x" * number)) for number in range(count)]
    assert list(split_documents(b"".join(jobs))) == jobs


@table(("size", "whole"), [(10, True), (1900, True), (2100, False), (100_000, False)])
def test_a_large_job_is_decoded_only_where_it_is_read(size: int, whole: bool) -> None:
    stored = a_job("x" * size)
    raw = bson.encode(stored, codec_options=CODEC)
    found = decode(raw)
    job, kept = found.job, found.raw
    assert kept == raw
    assert isinstance(job, RawBSONDocument) != whole
    assert (job["_id"], job["attempt"], job["options"]["retry"]) == (stored["_id"], 2, 1)
    assert bson.decode(kept, codec_options=CODEC) == stored


def test_neither_results_nor_earlier_attempts_are_read_back() -> None:
    assert not {"result", "attempts", "error"} & set(READ_BACK)
    assert {"class", "data", "attempt", "options", "solo", "service", "lost", "retries"} <= set(READ_BACK)


# -- jobs that are alike -----------------------------------------------------------------------------------------------

DUE = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)

OPTIONS = {
    "interval": 0, "interval_reference": "end", "retry": 0, "retry_interval": 300, "timeout": 0, "force_spawn": False,
}  # fmt: skip


def stored(number: int = 0, data: Any = None, **fields: Any) -> dict[str, Any]:
    """A job as it is stored; `fields` may replace some, or come last."""
    job = {"_id": ObjectId(), "class": "mail", "queue": "default", "priority": 0, "at": DUE + timedelta(number)}
    counts = {"attempt": 1, "retries": 0, "lost": 0}
    return {**job, **counts, "data": data, "options": OPTIONS, "hook": False, **fields}


def read_back(jobs: list[dict[str, Any]]) -> list[ClaimedJob]:
    return decode_batch(b"".join(bson.encode(job, codec_options=CODEC) for job in jobs))


DATA: list[Any] = [None, {}, [], {"to": "ada", "n": [1, {"x": None}]}, ["a"], {"x": "y" * 5000}]


def test_of_jobs_that_are_alike_one_is_decoded_for_all() -> None:
    jobs = [stored(number, DATA[number % len(DATA)]) for number in range(20)]
    found = read_back(jobs)
    assert len({id(one.like) for one in found}) == 1
    assert found[0].like is not None
    assert [one.id for one in found] == [job["_id"] for job in jobs]
    assert [one.due for one in found] == [job["at"].timestamp() for job in jobs]
    large = [number for number in range(20) if number % len(DATA) == len(DATA) - 1]
    assert [isinstance(one.job, RawBSONDocument) for one in found] == [number in large for number in range(20)]
    assert [one.job if type(one.job) is dict else bson.decode(one.raw, CODEC) for one in found] == jobs
    assert [[*one.job] for one in found] == [[*job] for job in jobs]


DATES = [datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 7, 20, 20, 17, 40, 1000, tzinfo=UTC), DUE, FAR]


def test_any_date_that_python_can_represent_is_read_as_the_driver_reads_it() -> None:
    jobs = [stored(at=date) for date in DATES * 3]
    odd = [stored(at=DatetimeMS(milliseconds)) for milliseconds in (-(2**62), 253_402_300_800_000)]
    found = read_back(jobs + odd)
    assert [one.job for one in found] == [bson.decode(one.raw, CODEC) for one in found]
    assert {one.like for one in found[:12]} == {found[0].like}
    assert [one.like for one in found[12:]] == [None, None]


def test_few_jobs_are_decoded_as_they_are() -> None:
    jobs = [stored(number) for number in range(8)]
    assert [(one.like, one.job) for one in read_back(jobs)] == [(None, job) for job in jobs]


@table(
    ("fields",),
    [
        ({"class": "post"},),
        ({"queue": "other"},),
        ({"priority": 1},),
        ({"attempt": 2},),
        ({"lost": 1},),
        ({"options": {**OPTIONS, "timeout": 1}},),
        ({"hook": True},),
        ({"parent": ObjectId()},),
        ({"hook": 0},),
        ({"data": 5},),
        ({"data": "text"},),
    ],
)
def test_a_job_with_another_field_is_like_no_job_without_it(fields: dict[str, Any]) -> None:
    plain = [stored(number) for number in range(9)]
    found = read_back([*plain, stored(**fields), *plain])
    assert found[9].like is not found[0].like
    assert found[9].job == {**plain[0], **fields, "_id": found[9].id, "at": DUE}
    assert {id(one.like) for one in (*found[:9], *found[10:])} == {id(found[0].like)}


def test_kinds_of_jobs_in_turns_have_a_pattern_each() -> None:
    jobs = [stored(number, **{"class": f"mail{number % 4}"}) for number in range(40)]
    found = read_back(jobs)
    assert len({id(one.like) for one in found}) == 4
    assert [one.job for one in found] == jobs


def test_jobs_that_are_all_different_are_decoded_as_they_are() -> None:
    jobs = [stored(number, priority=number) for number in range(40)]
    found = read_back(jobs)
    assert [one.job for one in found] == jobs
    assert {one.like for one in found[4:]} == {None}


def test_data_cannot_pass_for_what_stands_around_it() -> None:
    inner = {"attempt": 1, "data": {"options": OPTIONS}, "options": OPTIONS, "hook": False}
    jobs = [stored(number, inner if number % 2 else None) for number in range(20)]
    assert [one.job for one in read_back(jobs)] == jobs


@table(("data", "between"), [({}, "y" * 5000), (None, "y" * 5000), ({}, 1), ([1], {"z": "y" * 5000})])
def test_a_field_between_the_data_and_what_follows_is_seen(data: Any, between: Any) -> None:
    plain = [stored(number) for number in range(9)]
    whole = stored(data=data)
    last = {name: whole.pop(name) for name in ("options", "hook")}
    odd = {**whole, "logs": between, **last}
    found = read_back([*plain, odd, *plain])
    assert found[9].like is not found[0].like is not None
    assert "logs" in found[9].job


def test_a_job_whose_data_or_length_is_odd_is_like_no_other() -> None:
    plain = [bson.encode(stored(number, {"to": "ada"}), codec_options=CODEC) for number in range(12)]
    text, longer = plain[10].replace(b"ada", b"\xff\xfea"), bytearray(plain[11])
    place = longer.index(b"data\0") + 5
    longer[place] += 1  # it says that it is longer than it is
    found = decode_batch(b"".join([*plain[:10], text, bytes(longer)]))
    assert found[9].like is found[0].like is not None
    assert [one.like for one in found[10:]] == [None, None]
    assert [type(one.job).__name__ for one in found[10:]] == ["UnreadableDocument"] * 2


@table(
    ("fields",),
    [({"options": {**OPTIONS, "timeout": "soon"}},), ({"attempt": -1},), ({"class": 5},), ({"_id": 7},)],
)
def test_jobs_that_cannot_run_are_no_pattern_for_others(fields: dict[str, Any]) -> None:
    found = read_back([stored(number, **fields) for number in range(12)])
    assert {one.like for one in found} == {None}
