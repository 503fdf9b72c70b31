"""What a job says by what it raises: another try, no more tries, or later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler.errors import InvalidOptionError, JobFailure
from taskscheduler.model.attempt_result import AttemptResult, failure, storable
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.raised import Discard, ExceptionRules, JobSnoozed, Retry

NOON = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))


class Unwilling(type):
    """A class of exceptions that refuses to say what belongs to it."""

    def __subclasscheck__(cls, other: type) -> bool:
        raise RuntimeError("ask somebody else")


class OddError(Exception, metaclass=Unwilling):
    pass


def rules(**given: Any) -> ExceptionRules:
    return ExceptionRules.of(given)


def said(error: BaseException, **given: Any) -> dict[str, Any]:
    """What the report of a failed attempt says beside its error."""
    ending, content = failure(error, rules(**given))
    assert ending is Ending.FAILED
    return {name: value for name, value in content.items() if name != "error"}


@table(
    ("given", "again"),
    [
        ({}, True),
        ({"retry_on": OSError}, True),
        ({"retry_on": [ValueError, ConnectionError]}, True),
        ({"retry_on": (ValueError,)}, False),
        ({"retry_on": (FileNotFoundError,)}, False),
        ({"discard_on": ConnectionError}, False),
        ({"discard_on": (Exception,)}, False),
        ({"discard_on": (FileNotFoundError,)}, True),
        ({"retry_on": OSError, "discard_on": ConnectionError}, False),
        ({"retry_on": (), "discard_on": []}, True),
    ],
)
def test_the_rules_of_the_class_decide_by_the_class_of_the_exception(given: dict[str, Any], again: bool) -> None:
    assert (said(ConnectionResetError("reset"), **given) == {}) == again


def test_the_report_says_which_rule_it_was() -> None:
    assert said(OSError(), discard_on=OSError) == {"final": "discard_on names its error"}
    assert said(OSError(), retry_on=ValueError) == {"final": "retry_on does not name its error"}


def test_system_exit_is_an_exception_like_any_other() -> None:
    assert said(SystemExit(3), retry_on=(OSError,))["final"]
    assert said(SystemExit(3), retry_on=(SystemExit,)) == {}


def test_what_the_job_asks_for_precedes_the_rules_of_its_class() -> None:
    assert said(Retry(after=60), discard_on=Exception) == {"after": 60}
    assert said(Retry("later"), retry_on=OSError) == {}
    assert said(Discard("no use"), retry_on=JobFailure) == {"final": "the job was discarded"}


def test_a_class_of_exceptions_that_raises_when_asked_decides_nothing() -> None:
    assert said(ValueError(), discard_on=OddError) == {}


def test_a_result_that_cannot_be_stored_is_judged_like_an_exception() -> None:
    for result in (object(), "x" * 2000):
        assert storable("mail", result, 1024).content.get("final") is None
        assert storable("mail", result, 1024, rules(retry_on=OSError)).content["final"]


@table(
    ("error", "stored"),
    [
        (Retry(), {"type": "Retry", "message": "the job asks for another try"}),
        (Retry("the API is down", after=5), {"type": "Retry", "message": "the API is down"}),
        (Retry(after=timedelta(minutes=1), reason="busy"), {"type": "Retry", "message": "busy"}),
        (Discard("no such user"), {"type": "Discard", "message": "no such user"}),
    ],
)
def test_they_are_stored_with_their_reason_and_without_a_traceback(error: Exception, stored: dict[str, str]) -> None:
    assert failure(error).content["error"] == stored


def test_a_retry_without_a_reason_has_that_of_its_cause() -> None:
    with pytest.raises(Retry) as caught:
        raise Retry(after=1) from ConnectionError("refused")
    assert failure(caught.value).content["error"]["message"] == "ConnectionError: refused"


@table("after", ["60", -1, True, NOON, float("nan")])
def test_a_retry_after_something_else_is_refused(after: Any) -> None:
    with pytest.raises(InvalidOptionError, match="option after must be"):
        Retry(after=after)


def test_an_attribute_that_somebody_has_broken_harms_nobody_here() -> None:
    class Broken(Retry):
        def __init__(self) -> None:
            pass

    assert said(Broken()) == {}


# -- later ------------------------------------------------------------------------------------------------------------


@table(
    ("snoozed", "content"),
    [
        (JobSnoozed(60, None, ""), {"after": 60}),
        (JobSnoozed(0, None, ""), {"after": 0}),
        (JobSnoozed(timedelta(minutes=1), None, "quota"), {"after": 60, "reason": "quota"}),
        (JobSnoozed(None, NOON, ""), {"until": NOON.astimezone(UTC)}),
    ],
)
def test_a_snooze_is_no_failure(snoozed: JobSnoozed, content: dict[str, Any]) -> None:
    assert failure(snoozed, rules(discard_on=BaseException)) == AttemptResult(Ending.SNOOZED, content)


@table(
    ("arguments", "problem"),
    [
        ((None, None, ""), "snooze takes either seconds or until"),
        ((5, NOON, ""), "snooze takes either seconds or until"),
        (("5", None, ""), "option seconds must be"),
        ((-1, None, ""), "option seconds must be"),
        ((None, NOON.replace(tzinfo=None), ""), "option until must be an aware datetime"),
        ((None, 60, ""), "option until must be an aware datetime"),
        ((5, None, None), "option reason must be a text"),
    ],
)
def test_any_other_snooze_is_refused(arguments: tuple[Any, ...], problem: str) -> None:
    with pytest.raises(InvalidOptionError, match=problem):
        JobSnoozed(*arguments)


def test_a_long_reason_is_cut() -> None:
    assert len(JobSnoozed(1, None, "x" * 9999).facts["reason"]) == 500


# -- bad rules --------------------------------------------------------------------------------------------------------


@table("value", ["OSError", ("OSError",), 5, None, [int], OSError(), lambda error: True, {OSError}])
@table("name", ["retry_on", "discard_on"])
def test_rules_are_classes_of_exceptions(name: str, value: Any) -> None:
    with pytest.raises(InvalidOptionError, match=f"option {name} must be exception classes"):
        rules(**{name: value})


def test_a_rule_without_an_effect_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="retry_on names FileNotFoundError, which option discard_on excludes"):
        rules(retry_on=(OSError, FileNotFoundError), discard_on=FileNotFoundError)
