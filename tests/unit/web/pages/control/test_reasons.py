"""Reasons as the templates get them."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from bson import ObjectId
from tests.support.tables import table

from taskscheduler import Code, Reason
from taskscheduler_daemon.web.pages.control.reasons import reason_row, reason_view

ID = ObjectId("6a5f01c2e26cf26c6d0ede69")


@table(
    ("reason", "addresses"),
    [
        (Reason(Code.LIMIT, "x", {"limit": "a", "job": ID}), ["control#limits", f"jobs/{ID}"]),
        (Reason(Code.RATE, "x", {"limit": "a"}), ["control#limits"]),
        (Reason(Code.PAUSED, "x", {"pause": "pause:all"}), ["control#pauses"]),
        (
            Reason(Code.SEQUENCE, "x", {"job": {"a": "/"}}),
            ["control#sequences", "jobs/%7B%22a%22%3A%20%22%5Cu002f%22%7D"],
        ),
        (Reason(Code.BEHIND, "x", {"group": "a", "before": 3}), ["control#groups"]),
        (Reason(Code.SLOTS, "x", {"slots": 4}), []),
    ],
)
def test_a_reason_leads_to_what_holds_the_job_back(reason: Reason, addresses: list[str]) -> None:
    assert [link.address for link in reason_view(reason)["links"]] == addresses


def test_a_queue_leads_to_its_waiting_jobs() -> None:
    [link] = reason_view(Reason(Code.BEHIND, "x", {"queue": "a&b=<c>", "before": 3}))["links"]
    assert parse_qs(urlsplit(link.address).query) == {"status": ["waiting"], "queue": ["a&b=<c>"]}


def test_a_text_is_one_printable_line() -> None:
    assert reason_view(Reason(Code.PAUSED, "why\x1b[31m\n" + "x" * 1000))["text"].isprintable()


def test_a_count() -> None:
    row = reason_row(Code.BEHIND, 1001)
    assert (row["code"], row["count"], row["link"].address) == ("BEHIND", "1 000+", "control#groups")
    assert reason_row(Code.SOLO, 1)["link"] is None
