"""Which actions a schedule allows."""

from __future__ import annotations

from typing import Any

from tests.support.tables import table
from tests.unit.presentation.fakes import schedule

from taskscheduler_daemon.web.pages.schedules.actions import ACTIONS, done_text, hindrance, offered


@table(
    ("fields", "expected"),
    [
        ({}, ["run", "pause", "delete"]),
        ({"paused": True}, ["run", "resume", "delete"]),
        ({"owner": "code"}, ["run", "pause"]),
        ({"owner": "code", "undeclared": True}, ["run", "pause", "delete"]),
        ({"owner": "code", "paused": True}, ["run", "resume"]),
        ({"owner": "code", "job": 5}, ["delete"]),
        ({"times": 5}, ["delete"]),
    ],
)
def test_what_may_be_done(fields: dict[str, Any], expected: list[str]) -> None:
    one = schedule(**fields)
    assert [action.name for action in offered(one)] == expected
    assert all(bool(hindrance(name, one)) == (name not in expected) for name in ACTIONS)


def test_only_known_actions_have_a_text() -> None:
    assert done_text("pause") == "The schedule is paused."
    assert done_text("<b>") == ""
