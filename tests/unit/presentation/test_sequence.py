"""How blocked sequences look."""

from __future__ import annotations

from bson import ObjectId
from tests.unit.presentation.fakes import NOW, ago

from taskscheduler import BlockedSequence, Status
from taskscheduler_daemon.presentation.sequence import COLUMNS, record, row

ID = ObjectId("6a5f01c2e26cf26c6d0ede69")


def test_a_blocked_sequence_in_a_list_and_for_programs() -> None:
    error = {"type": "ValueError", "message": "no\nreally"}
    one = BlockedSequence("account-42", ID, "Book", Status.FAILED, ago(120), error, 1000)
    assert dict(zip(COLUMNS, row(one, NOW), strict=True)) == {
        "SEQUENCE": "account-42",
        "WAITING": "1 000+",
        "BLOCKED BY": str(ID),
        "JOB": "Book",
        "STATE": "failed",
        "AGO": "2m",
        "ERROR": "ValueError: no",
    }
    assert (record(one)["id"], record(one)["state"], record(one)["error"]) == (ID, "failed", error)


def test_what_is_not_known_is_left_empty() -> None:
    one = BlockedSequence("s", ID, "", Status.TIMEOUT, None, None, 0)
    assert row(one, NOW) == ("s", "0", str(ID), "", "timeout", "", "")
