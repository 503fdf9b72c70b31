"""What is written down of an action: short, never data of a job, and readable whatever somebody has stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.jobs import Noop
from tests.support.tables import table

from taskscheduler import AuditEntry
from taskscheduler.model.audit.actions import Role
from taskscheduler.model.audit.actors import Acting, Actor
from taskscheduler.model.audit.entries import entry_id, error_text, fact, new_entry, outcome_of

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def test_an_entry_says_who_what_when_and_why() -> None:
    actor = Actor("ana", Role.OPERATOR, "web", "192.0.2.7")
    entry = AuditEntry(new_entry(Acting(actor, "SMTP is down"), "pause", NOW, 60))
    assert (entry.who, entry.role, entry.via, entry.address) == ("ana", "operator", "web", "192.0.2.7")
    assert (entry.what, entry.at, entry.reason, entry.outcome) == ("pause", NOW, "SMTP is down", "begun")
    assert entry.to_dict()["expires"] == NOW + timedelta(minutes=1)
    assert "expires" not in new_entry(Acting(actor), "pause", NOW, 0)


def test_ids_follow_the_clock_of_the_server() -> None:
    assert entry_id(NOW).generation_time == NOW
    assert entry_id(NOW) != entry_id(NOW)
    assert entry_id(NOW) < entry_id(NOW + timedelta(seconds=1))


@table(
    ("value", "written"),
    [
        (3, 3),
        (True, True),
        (timedelta(minutes=1), 60.0),
        (NOW, "2026-11-30T12:00:00+00:00"),
        (datetime.fromisoformat("0001-01-01T00:00:00+05:00"), "0001-01-01T00:00:00+05:00"),
        (Noop, "Noop"),
        ("x" * 1000, "x" * 500),
        ("\ud800", "?"),
    ],
)
def test_facts_are_short(value: Any, written: Any) -> None:
    assert fact(value) == written


@table(
    ("result", "written"),
    [(None, {"count": 1}), (True, {"count": 1}), (False, {"count": 0}), (7, {"count": 7}), ([1, 2], {"count": 2})],
)
def test_the_outcome_counts_what_was_changed(result: Any, written: Any) -> None:
    assert outcome_of(result) == written


def test_an_error_is_one_text() -> None:
    assert error_text(ValueError("no")) == "ValueError: no"
    assert error_text(KeyError()) == "KeyError"
    assert error_text(KeyboardInterrupt()) == "interrupted"
    assert len(error_text(ValueError("x" * 1000))) == 500


def test_an_entry_of_somebody_else_can_be_read() -> None:
    odd = AuditEntry({"_id": 1, "at": "today", "who": 7, "what": None, "facts": [1], "count": -1, "more": "many"})
    assert (odd.at, odd.who, odd.what, odd.facts, odd.count, odd.more) == (None, "7", "", {}, None, 0)


def test_a_number_that_the_database_cannot_hold_is_told() -> None:
    assert [fact(value) for value in (2**63, -(2**63) - 1, 10**5000)] == ["a number beyond 64 bits"] * 3
    assert (fact(2**63 - 1), fact(-(2**63))) == (2**63 - 1, -(2**63))
