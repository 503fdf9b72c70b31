"""Mistakes with schedules on the command line: the exit code, and one line that says what is allowed."""

from __future__ import annotations

import pytest

from taskscheduler import Scheduler
from taskscheduler_daemon.cli import main

ADD = ("add", "x", "noop")
FAR = "9999-12-31T23:59:59Z"

#: what is given, the exit code, and a part of what is said
ODD: list[tuple[tuple[str, ...], int, str]] = [
    (ADD, 2, "give cron, every or rrule"),
    ((*ADD, "--cron", "61 * * * *"), 2, "0-59"),
    ((*ADD, "--cron", "* * * * * *"), 2, "--seconds"),
    ((*ADD, "--cron", "@dayly"), 2, "did you mean @daily"),
    ((*ADD, "--cron", "0 0 30 2 *"), 2, "never comes"),
    ((*ADD, "--every", "0"), 2, "between 1 and"),
    ((*ADD, "--every", "5x"), 2, "90s, 5m, 1h30m, 2d"),
    ((*ADD, "--rrule", "FREQ=DAILY;INTERVAL=0"), 2, "INTERVAL must be at least 1"),
    ((*ADD, "--rrule", "every day"), 2, "write a rule such as"),
    ((*ADD, "--every", "60", "--timezone", "zurich"), 2, "did you mean Europe/Zurich"),
    ((*ADD, "--every", "60", "--exclude", "christmas"), 2, "dates such as 2027-12-25"),
    ((*ADD, "--every", "60", "--start", "2027-01-01"), 2, "has no time zone"),
    ((*ADD, "--every", "60", "--start", "10000000d"), 2, "too far away"),
    ((*ADD, "--every", "60", "--end", FAR), 2, "1970 to 9000"),
    ((*ADD, "--every", "60", "--runs", "0"), 2, "between 1 and"),
    ((*ADD, "--every", "60", "--jitter", "-1"), 2, "negative"),
    ((*ADD, "--every", "60", "--overlap", "skp"), 2, "buffer_one"),
    ((*ADD, "--every", "60", "--missed", "none"), 2, "latest"),
    ((*ADD, "--every", "60", "--missed-window", "x"), 2, "2d"),
    ((*ADD, "--every", "60", "--queue", "UPPER"), 2, "lowercase"),
    ((*ADD, "{bad", "--every", "60"), 2, "JSON"),
    *(((command, "none"), 3, "taskscheduler schedule add") for command in ("show", "pause", "resume", "delete", "run")),
    (("next", "none"), 3, "no schedule 'none'"),
    (("next",), 2, "--cron"),
    (("next", "--cron", "@daily", "--timezone", "Mars"), 2, "IANA name"),
    (("next", "--cron", "@daily", "-n", "0"), 2, "1<=x<=1000"),
    (("plan", "--jobs", "nosuch.module"), 2, "cannot import"),
    (("backfill", "ok", "--start", "0001-01-01T00:00:00+05:00"), 2, "1970 to 9000"),
    (("backfill", "ok", "--start", "1970-01-01T00:00:00Z"), 2, "choose a part"),
    (("backfill", "ok", "--start", "2026-01-01T00:00:00Z", "--end", "2025-01-01T00:00:00Z"), 2, "before option start"),
    (("pause", "ok", "--reason", "x" * 501), 2, "at most 500 characters"),
    (("pause", "ok", "none"), 3, "no schedule 'none'"),
    (("frobnicate",), 2, "No such command"),
]


def test_a_mistake_changes_nothing_and_is_told_in_a_line(
    scheduler: Scheduler, uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)
    scheduler.schedules.add("ok", "noop", every=60)
    before = scheduler.schedules.get("ok").to_dict()
    for given, code, part in ODD:
        found = main(["schedule", *given])
        told = capsys.readouterr().err.replace("\n  ", " ")
        assert (found, part in told, told.count("\n")) == (code, True, 1), (given, told)
    assert [schedule.to_dict() for schedule in scheduler.schedules.all()] == [before]
