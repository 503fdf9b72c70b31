"""How reasons look."""

from __future__ import annotations

import pytest
from bson import ObjectId
from tests.unit.presentation.fakes import job

from taskscheduler import Code, Reason, Status
from taskscheduler_daemon.presentation.reason import MEANINGS, counted, is_kept_waiting, record, rows, summary_record


def test_each_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Code)


@pytest.mark.parametrize(("number", "said"), [(0, "0"), (1000, "1000"), (1001, "1 000+")])
def test_a_count_that_ends_is_marked(number: int, said: str) -> None:
    assert counted(number) == said


def test_a_summary_for_people_and_for_programs() -> None:
    counts = {Code.LIMIT: 3, Code.SLOTS: 1001}
    assert [row[:2] for row in rows(counts)] == [("LIMIT", "3"), ("SLOTS", "1 000+")]
    assert summary_record(counts) == {"LIMIT": 3, "SLOTS": 1001}


def test_a_reason_for_programs() -> None:
    facts = {"job": ObjectId(), "before": 3}
    assert record(Reason(Code.SOLO, "text", facts)) == {"code": "SOLO", "text": "text", "facts": facts}


def test_people_ask_why_of_live_jobs_that_do_not_run() -> None:
    asked = {status for status in Status if is_kept_waiting(job(status))}
    assert asked == {Status.WAITING, Status.POSTPONED}
