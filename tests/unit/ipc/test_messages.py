"""What node, manager and workers say to each other comes out as it went in."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from uuid import UUID

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.messages import NO_WORKER, Flag, Held, Kind, Report, Run

ID, WORKER = ObjectId(), ObjectId()


@table("attempt", [1, 2**32 - 1])
@table("timeout", [0, 0.001, 1e9])
@table("flags", [Flag.NONE, Flag.FORCED, Flag.HOOK, Flag.FORCED | Flag.HOOK])
def test_a_run_comes_out_as_it_went_in(attempt: int, timeout: float, flags: Flag) -> None:
    run = Run(ID.binary, attempt, timeout, flags, b"\0body")
    assert Run.decode(run.encode()) == run
    assert messages.kind_of(run.encode()) == Kind.RUN


@pytest.mark.parametrize("silence", [0.5, 1e9])
def test_limits_of_its_own_come_out_as_they_went_in_and_cost_other_runs_nothing(silence: float) -> None:
    run = Run(ID.binary, 1, 5, Flag.WATCHED | Flag.FORCED, b"\0body", silence, 5.0, 10.0, 77.5)
    assert Run.decode(run.encode()) == run
    assert len(run.encode()) == len(run._replace(flags=Flag.FORCED).encode()) + 32


@table("priority", [1, -(2**31), 2**31 - 1])
@table("flags", [Flag.NONE, Flag.WATCHED, Flag.BATCH, Flag.WATCHED | Flag.BATCH | Flag.ASYNC])
def test_a_priority_comes_out_as_it_went_in_and_costs_other_runs_nothing(priority: int, flags: Flag) -> None:
    limits = (1.5, 0.0, 0.0, 77.5) if flags & Flag.WATCHED else (0.0, 0.0, 0.0, 0.0)
    run = Run(ID.binary, 1, 5, flags, b"\0body", *limits, 3 if flags & Flag.BATCH else 1)
    urgent = run._replace(flags=flags | Flag.PRIORITY, priority=priority)
    assert Run.decode(urgent.encode()) == urgent
    assert Run.decode(run.encode()) == run
    assert len(urgent.encode()) == len(run.encode()) + 8


@pytest.mark.parametrize("flags", [Flag.BATCH, Flag.BATCH | Flag.WATCHED | Flag.ASYNC])
def test_a_run_of_many_jobs_comes_out_as_it_went_in(flags: Flag) -> None:
    documents = [messages.body(n=number) for number in range(3)]
    limits = (1.5, 0.0, 0.0, 77.5) if flags & Flag.WATCHED else (0.0, 0.0, 0.0, 0.0)
    run = Run(ID.binary, messages.BATCH_RUN, 5, flags, b"".join(documents), *limits, jobs=3)
    assert Run.decode(run.encode()) == run
    assert Run.decode(run.encode()).documents() == documents


def test_the_end_of_one_job_of_a_batch_names_the_batch() -> None:
    report = Report(Kind.REPORT, Ending.FAILED, ID.binary, 7, WORKER.binary, 1.25, messages.body(result=1))
    message = messages.item(b"x" * 12, report.encode())
    assert messages.kind_of(message) == Kind.ITEM
    batch, encoded = messages.item_of(message)
    assert (batch, Report.decode(encoded)) == (b"x" * 12, report)


@table("kind", [Kind.REPORT, Kind.PROGRESS])
@table("ending", Ending)
@table("body", [b"", messages.body(result=1)])
def test_a_report_comes_out_as_it_went_in(kind: Kind, ending: Ending, body: bytes) -> None:
    report = Report(kind, ending, ID.binary, 7, WORKER.binary, 1.25, body)
    assert Report.decode(report.encode()) == report
    assert messages.kind_of(report.encode()) == kind


def test_the_content_of_a_report_keeps_dates_and_uuids() -> None:
    content = {"result": {"when": datetime(2030, 1, 1, tzinfo=UTC), "id": UUID(int=7)}}
    report = Report(Kind.REPORT, Ending.SUCCEEDED, ID.binary, 1, WORKER.binary, 0.0, messages.body(**content))
    assert report.content() == content
    assert Report(Kind.REPORT, Ending.SUCCEEDED, ID.binary, 1, WORKER.binary, 0.0, b"").content() == {}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_ids_to_cancel_come_out_as_they_went_in(count: int) -> None:
    ids = [ObjectId() for _ in range(count)]
    message = messages.cancel(ids)
    assert messages.kind_of(message) == Kind.CANCEL
    assert messages.canceled_ids(message) == [one.binary for one in ids]


@table("kind", [Kind.LEASE, Kind.STOP, Kind.RECYCLE])
@table("seconds", [0.0, 12.5, math.inf])
def test_a_time_comes_out_as_it_went_in(kind: Kind, seconds: float) -> None:
    message = messages.timed(kind, seconds)
    assert messages.kind_of(message) == kind
    assert messages.time_of(message) == seconds


@pytest.mark.parametrize("names", [[], ["Mail"], ["Mail", "Büro", "a b"]])
def test_what_a_worker_knows_reaches_the_node(names: list[str]) -> None:
    ready = messages.ready(0.25, names)
    assert (messages.kind_of(ready), messages.time_of(ready)) == (Kind.READY, 0.25)
    known = messages.known_by(ready)
    assert (messages.kind_of(known), messages.known_names(known)) == (Kind.KNOWN, names)


def test_no_noise_for_names_harms_a_node() -> None:
    assert messages.known_names(bytes([Kind.KNOWN]) + b"Mail\0\xff\xfe") == ["Mail", "\ufffd\ufffd"]
    assert messages.known_names(messages.known_by(messages.ready(0.0, ["a\ud800"]))) == ["a?"]


def test_a_question_about_a_silent_job_and_its_answer_come_out_as_they_went_in() -> None:
    question, answer = messages.silent(ID.binary, 3), messages.alive(ID.binary, 3, 12.5)
    assert (messages.kind_of(question), messages.attempt_of(question)) == (Kind.SILENT, (ID.binary, 3))
    assert (messages.kind_of(answer), messages.sign_of_life(answer)) == (Kind.ALIVE, (ID.binary, 3, 12.5))


def test_what_the_manager_holds_comes_out_as_it_went_in() -> None:
    message = messages.held([(ID.binary, 3, WORKER.binary, 1.5), (ID.binary, 4, NO_WORKER, -1.0)])
    assert messages.kind_of(message) == Kind.HELD
    assert messages.held_entries(message) == [Held(ID, 3, WORKER, 1.5), Held(ID, 4, None, -1.0)]
    assert messages.held_entries(messages.held([])) == []


@table("kind", [Kind.POOL, Kind.WORKER, Kind.BROKEN, Kind.STOPPED])
def test_a_notice_carries_its_facts(kind: Kind) -> None:
    message = messages.notice(kind, slots=3, worker=WORKER)
    assert messages.kind_of(message) == kind
    assert messages.facts_of(message) == {"slots": 3, "worker": WORKER}
    assert messages.facts_of(messages.notice(kind)) == {}


def test_every_kind_is_one_byte_and_none_is_the_mark_of_a_descriptor() -> None:
    assert all(0 < kind < 256 for kind in Kind)
    assert len({int(kind) for kind in Kind}) == len(Kind)
