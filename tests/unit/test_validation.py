"""Arguments of callers that are no options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.errors import InvalidJobError, InvalidOptionError
from taskscheduler.jobs.functions import job
from taskscheduler.jobs.job import Job
from taskscheduler.model.process_state import ProcessState
from taskscheduler.validation import batch, check_callable, check_token, job_id, listed, named


class Mail(Job):
    name = "validation-mail"


@job(name="validation-resize")
def resize() -> None: ...


STATE = ProcessState({"_id": ObjectId(), "status": 0})


def test_an_id_is_an_object_id() -> None:
    known = ObjectId()
    assert job_id(known) is known
    assert job_id(str(known)) == job_id(str(known).upper()) == known
    for value in ("text", str(known)[1:], f"{known}\n", "x" * 12):
        with pytest.raises(InvalidOptionError, match="a job id must be an ObjectId, its 24 hexadecimal digits, or "):
            job_id(value)
    others: list[Any] = [None, 5, {"a": 1}, STATE]
    for other in others:
        with pytest.raises(InvalidOptionError, match="a job id must be an ObjectId or a text, not "):
            job_id(other)


def test_processes_are_listed() -> None:
    assert listed(iter([STATE, STATE]), ProcessState) == [STATE, STATE]
    assert listed([], ProcessState) == []


@table(
    ("given", "what"), [(5, "not 5"), (STATE, "not <ProcessState"), ([STATE, "x"], "not of str"), ("x", "not of str")]
)
def test_anything_else_cannot_be_waited_for(given: Any, what: str) -> None:
    with pytest.raises(InvalidOptionError, match=rf"wait_for\(\) requires a list of ProcessState, {what}"):
        listed(given, ProcessState)


def test_a_batch_is_an_iterable_that_would_not_fall_to_pieces() -> None:
    assert batch(jobs := [Mail]) is jobs
    for given in ("mail", b"mail", {"a": 1}, 5, None):
        with pytest.raises(InvalidOptionError, match="a batch must be a list of jobs, not "):
            batch(given)  # type: ignore[arg-type]


def test_a_callback_is_callable() -> None:
    check_callable("the callback", print)
    with pytest.raises(InvalidOptionError, match="the callback must be callable, not str"):
        check_callable("the callback", "print")  # type: ignore[arg-type]


def test_a_token_is_one_that_a_listener_gave() -> None:
    check_token(None)
    check_token({"_data": "x"})
    wrong: list[Any] = [{}, "x", 5]
    for given in wrong:
        with pytest.raises(InvalidOptionError, match=r"after must be the token that an earlier listen\(\) gave, not "):
            check_token(given)


def test_jobs_in_a_query_are_replaced_by_their_names_at_any_depth() -> None:
    query = {"class": Mail, "$or": [{"class": {"$in": [resize, "other"]}}, {"data.n": (1, 2)}]}
    assert named(query) == {
        "class": "validation-mail",
        "$or": [{"class": {"$in": ["validation-resize", "other"]}}, {"data.n": [1, 2]}],
    }


def test_a_query_with_a_class_that_is_no_job_is_refused() -> None:
    with pytest.raises(InvalidJobError, match="class int is not a job"):
        named({"class": int})


@table("value", [Mail(), object(), {1, 2j}, lambda: None])
def test_a_query_that_bson_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(InvalidOptionError, match="a query must hold what BSON can hold: "):
        named({"data": value})


def test_a_query_may_name_values_that_have_a_stored_form() -> None:
    assert named({"data.p": Path("/x"), "data.n": {"$in": {2, 1}}}) == {"data.p": "/x", "data.n": {"$in": [1, 2]}}


def test_a_query_is_a_mapping() -> None:
    with pytest.raises(InvalidOptionError, match="a query must be a mapping, such as"):
        named("failed")  # type: ignore[arg-type]
