"""What the overview says is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from tests.support.tables import table

from taskscheduler.model.control.known import UnknownClass
from taskscheduler.model.control.pauses import Pause
from taskscheduler.model.failures import Failure
from taskscheduler.model.lifecycle import Status
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler_daemon.web.pages.overview.health import WARN, WRONG, Facts, problems

NOW = datetime.now(UTC)
UP: dict[str, Any] = {"_id": "boot", "name": "web-1", "silent": 1.0, "lease": 30}
LOST = {**UP, "name": "web-3", "silent": 41.0, "lost": True}
MAIL = Backlog("mail", 14, 360.0)
SCRIPT = "<script>\x1b" * 200


def facts(**given: Any) -> Facts:
    return Facts(**{"nodes": [UP], "queues": [], "unknown": [], "pauses": [], **given})


@table(
    ("given", "level", "what", "link"),
    [
        (facts(nodes=[], queues=[MAIL]), WRONG, "No node is up", ""),
        (facts(nodes=[{**UP, "queues": ["files"]}], queues=[MAIL]), WRONG, "Queue mail is not served",
         "jobs?status=waiting&queue=mail"),
        (facts(nodes=[{**UP, "queues": ["files"]}], queues=[Backlog(f"q{n}", 1, 9.0) for n in range(50)]), WRONG,
         "50 queues are not served", "control#queues"),
        (facts(ended={Status.DONE: 9, Status.FAILED: 90, Status.TIMEOUT: 1}), WRONG, "91 jobs failed",
         "failures?since=1h"),
        (facts(ended={Status.DONE: 900, Status.FAILED: 100}), WARN, "100 jobs failed", "failures?since=1h"),
        (facts(unknown=[UnknownClass("Thumb", "mail")]), WRONG, "Unknown job", "jobs?status=live&job=Thumb"),
        (facts(nodes=[UP, LOST]), WRONG, "1 node lost", "nodes"),
        (facts(nodes=[UP, {**UP, "silent": 31.0}]), WARN, "1 node silent", "nodes"),
        (facts(pauses=[Pause("queue", "mail", reason="SMTP is down")]), WARN, "Paused: queue mail", "control#pauses"),
    ],
)  # fmt: skip
def test_each_problem_has_a_level_a_name_and_a_way_on(given: Facts, level: str, what: str, link: str) -> None:
    [found] = problems(given)
    assert (found.level, found.what, found.link) == (level, what, link)
    assert found.text
    assert found.link or found.cure


def test_the_worst_comes_first_and_nothing_is_said_when_all_is_well() -> None:
    found = problems(facts(nodes=[LOST], queues=[MAIL], pauses=[Pause("queue", "mail")]))
    assert [one.level for one in found] == [WRONG, WRONG, WARN]
    assert problems(facts(queues=[MAIL])) == []
    assert problems(facts(nodes=[UP, {**LOST, "silent": 7200.0}])) == [], "a node that was lost long ago is no news"


def test_few_failures_are_no_news_and_of_many_the_most_frequent_is_named() -> None:
    assert problems(facts(ended={Status.DONE: 1, Status.FAILED: 9})) == []
    assert problems(facts(ended={Status.DONE: 5000, Status.FAILED: 500, Status.CANCELED: 5})) == []
    mistake = Failure("f", "Mail", "SMTPServerDisconnected", None, "closed", 5000, NOW, NOW, ObjectId())
    [found] = problems(facts(ended={Status.FAILED: 5031}, mistakes=[mistake]))
    assert "100 % of the jobs" in found.text
    assert found.text.endswith("The most frequent mistake: Mail SMTPServerDisconnected, 5000 jobs.")


def test_a_pause_says_who_why_and_for_how_long() -> None:
    [found] = problems(facts(pauses=[Pause("queue", "mail", reason="SMTP is down", by="ana@web-1")]))
    assert "by ana@web-1" in found.text
    assert found.text.endswith(": SMTP is down")


def test_names_of_any_size_and_kind_are_short_and_printable() -> None:
    many = [Backlog(f"{SCRIPT}{number}", 1, 1.0) for number in range(50)]
    odd = facts(
        nodes=[{**UP, "queues": ["x"]}, *[{**LOST, "name": SCRIPT}] * 50],
        queues=many,
        unknown=[UnknownClass(SCRIPT, SCRIPT)] * 50,
        pauses=[Pause("queue", SCRIPT, reason=SCRIPT, by=SCRIPT)] * 50,
    )
    found = problems(odd)
    assert len(found) < 20
    assert all("\x1b" not in f"{one.what}{one.text}" for one in found)
    assert all(len(one.what) + len(one.text) < 1200 for one in found)
