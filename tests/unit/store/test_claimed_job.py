"""Claimed jobs as they are read back: as bytes for the worker, decoded only as far as it pays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.tables import table

from taskscheduler.model.control.keys import FAR
from taskscheduler.model.flows.membership import membership_of
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


# -- jobs of flows -----------------------------------------------------------------------------------------------------

FLOW, JOIN = ObjectId(), ObjectId()


def of_flow(number: int, joins: Any = None, **fields: Any) -> dict[str, Any]:
    """A job of a flow as it is stored: one of a chain, or with these joins."""
    job = stored(number, DATA[number % 4])
    return {
        **job,
        "flow": FLOW,
        "label": f"mail-{10**number}",
        "joins": [job["_id"]] if joins is None else joins,
        **fields,
    }


@table(
    ("joins",),
    [(None,), ([JOIN],), ([JOIN, FLOW],), ([],), ([ObjectId() for _ in range(30)],)],
)
def test_jobs_of_a_flow_may_differ_in_their_labels_and_joins(joins: list[ObjectId] | None) -> None:
    jobs = [of_flow(number, joins) for number in range(20)]
    found = read_back(jobs)
    assert len({id(one.like) for one in found}) == 1
    assert found[0].like is not None
    assert [one.member for one in found] == [membership_of(job) for job in jobs]
    assert [one.due for one in found] == [job["at"].timestamp() for job in jobs]
    assert [one.job for one in found] == jobs
    assert [[*one.job] for one in found] == [[*job] for job in jobs]


def test_what_else_a_member_is_belongs_to_the_pattern() -> None:
    more: list[dict[str, Any]] = [{}, {"soft": [JOIN]}, {"feeds": True}, {"flow": ObjectId()}]
    jobs = [of_flow(number, [JOIN], **more[number % 4]) for number in range(40)]
    found = read_back(jobs)
    assert len({id(one.like) for one in found}) == 4
    assert [one.member for one in found] == [membership_of(job) for job in jobs]


def test_the_jobs_of_a_layer_share_a_membership() -> None:
    found = read_back([of_flow(number, [JOIN, FLOW]) for number in range(20)])
    assert len({id(one.member) for one in found}) == 1


@table(
    ("fields",),
    [
        ({"joins": "odd"},),
        ({"joins": [JOIN, 5]},),
        ({"joins": {"0": JOIN}},),
        ({"joins": [str(JOIN)]},),
        ({"label": 5},),
        ({"label": "x" * 5000, "joins": 7},),
        ({"flow": "odd"},),
        ({"flow": None},),
        ({"data": "text"},),
        ({"data": 5},),
    ],
)
def test_an_odd_job_of_a_flow_is_decoded_as_it_is(fields: dict[str, Any]) -> None:
    plain, odd = [of_flow(number, [JOIN]) for number in range(9)], of_flow(0, **{"joins": [JOIN], **fields})
    found = read_back([*plain, odd, *plain])
    assert found[0].like is not None
    assert found[9].like is not found[0].like
    assert decoded(found[9]) == odd
    assert found[9].member == membership_of(odd)


def decoded(one: ClaimedJob) -> dict[str, Any]:
    return one.job if type(one.job) is dict else bson.decode(one.raw, CODEC)


def test_jobs_of_flows_and_others_are_not_alike() -> None:
    jobs = [of_flow(number) if number % 2 else stored(number) for number in range(20)]
    found = read_back(jobs)
    assert [one.job for one in found] == jobs
    assert {one.like for one in found[::2]}.isdisjoint(one.like for one in found[1::2])
    assert {one.member for one in found[::2]} == {None}


def test_bytes_in_a_label_or_a_length_that_are_wrong_are_seen() -> None:
    jobs = [bson.encode(of_flow(number, [JOIN]), codec_options=CODEC) for number in range(9)]
    whole, place = jobs[3], jobs[3].index(b"label\0") + 6
    for wrong in (
        whole.replace(b"mail-1000\0", b"mail-\xff000\0"),
        whole[:place] + b"\x01\0\0\0" + whole[place + 4 :],
        whole[:place] + b"\0\0\0\0" + whole[place + 4 :],
        whole[:place] + b"\xff\xff\xff\xff" + whole[place + 4 :],
        whole.replace(JOIN.binary + b"\0", JOIN.binary + b"\1"),
    ):
        assert wrong != whole
        found = decode_batch(b"".join([*jobs, wrong]))
        assert found[8].like is not None
        assert found[9].like is not found[8].like


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 400), st.integers(0, 255))
def test_a_changed_byte_is_never_overlooked(place: int, value: int) -> None:
    """A pattern reads a document as the driver does, or not at all."""
    jobs = [bson.encode(of_flow(number, [JOIN]), codec_options=CODEC) for number in range(9)]
    changed = bytearray(jobs[4])
    changed[9 + place % (len(changed) - 9)] = value
    one = decode_batch(b"".join([*jobs, bytes(changed)]))[9]
    if one.like is not None:
        job = bson.decode(bytes(changed), CODEC)
        assert (one.id, one.member, one.due) == (job["_id"], membership_of(job), job["at"].timestamp())
        assert {**one.like.job, **dict.fromkeys(("_id", "at", "data", "label", "joins"))} == {
            **job, **dict.fromkeys(("_id", "at", "data", "label", "joins")),
        }  # fmt: skip
