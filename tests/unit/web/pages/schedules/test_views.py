"""Schedules as the templates get them."""

from __future__ import annotations

from typing import Any

from bson import ObjectId
from tests.support.odd_schedules import ODD
from tests.support.tables import table
from tests.support.web import FRAME
from tests.unit.presentation.fakes import NOW, ago, job, schedule

from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.web.pages.schedules.views import key_of, schedule_page, schedule_row
from taskscheduler_daemon.web.pages.templates import page


def test_a_schedule_in_a_list() -> None:
    runs = [job(Status.DONE, scheduled_at=ago(120), started=ago(119), ended=ago(117)), job(Status.TIMEOUT)]
    row = schedule_row(schedule(runs_made=1, skipped=2, skipped_times=[ago(60)]), runs, NOW)
    assert (row["words"], row["cron"]) == (
        "At 02:30 on Monday through Friday, Europe/Zurich", "30 2 * * mon-fri"
    )  # fmt: skip
    assert [mark["text"] for mark in row["marks"]] == [
        "timeout, Sat 2026-11-21 08:52 CET",
        "done, Sat 2026-11-21 08:58 CET, 2s",
        "skipped, Sat 2026-11-21 08:59 CET",
    ]
    assert [mark["status"]["sign"] for mark in row["marks"]] == ["!", "✓", "↷"]
    assert row["counts"] == "1 run added, 2 skipped"
    assert [(time["at"], time["in"]) for time in row["next"]][:2] == [
        ("Mon 2026-11-23 02:30 CET", "1d17h"), ("Tue 2026-11-24 02:30 CET", "2d17h")
    ]  # fmt: skip
    assert len(row["next"]) == 5


def test_a_day_on_which_the_clocks_change_has_a_note() -> None:
    times = {"cron": ["0 12 29 3 *"], "timezone": "Europe/Zurich"}
    notes = {time["at"]: time["note"] for time in schedule_row(schedule(times=times), [], NOW)["next"]}
    assert notes["Mon 2027-03-29 12:00 CEST"] == ""
    times = {"cron": ["0 12 28 3 *"], "timezone": "Europe/Zurich"}
    notes = {time["at"]: time["note"] for time in schedule_row(schedule(times=times), [], NOW)["next"]}
    assert notes["Sun 2027-03-28 12:00 CEST"] == "the clocks change on this day"


def test_a_run_that_nobody_has_added_is_late() -> None:
    assert schedule_row(schedule(next_at=ago(9)), [], NOW)["late"] == ""
    assert schedule_row(schedule(next_at=ago(90)), [], NOW)["late"] == "1m30s"
    assert schedule_row(schedule(next_at=ago(90), paused=True), [], NOW)["late"] == ""


def test_a_paused_schedule_says_why_and_since_when() -> None:
    row = schedule_row(schedule(paused=True, reason="SMTP is down\n<b>", paused_at=ago(90)), [], NOW)
    assert (row["state"]["name"], row["reason"], row["since"]) == ("paused", "SMTP is down\\n<b>", "1m30s")


@table(
    ("name", "expected"),
    [
        ("a/b?c=1&d #é", "name=a%2Fb%3Fc%3D1%26d+%23%C3%A9"),
        ("", "name="),
        (5, "id=%7B%22%24numberInt%22%3A+%225%22%7D"),
        (ObjectId("6a5f01c2e26cf26c6d0ede69"), "id=6a5f01c2e26cf26c6d0ede69"),
        ("x" * 5000, ""),
    ],
)
def test_the_name_of_a_schedule_in_an_address(name: Any, expected: str) -> None:
    assert key_of(schedule(_id=name)) == expected


def test_odd_schedules_have_pages() -> None:
    for field, value in [(field, value) for field, values in ODD.items() for value in values]:
        odd = schedule(**{field: value})
        row = schedule_page(odd, [], NOW)
        text = page(FRAME, "schedule.html", place="schedules", schedule=row, message="").body
        assert (b"Stored document" in text) == (odd.fault is not None)


def test_the_limits_of_its_runs_are_named() -> None:
    job = {"class": "Report", "limits": ["stripe", 5], "sequence": "s", "tags": ["a", "b"], "options": {"retry": 3}}
    facts = dict(schedule_page(schedule(job=job), [], NOW)["facts"])
    assert (facts["Limits"], facts["Tags"], facts["Options"]) == ("stripe, 5", "a, b", "retry 3, sequence s")
