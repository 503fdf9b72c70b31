"""The filter bar of the list of jobs."""

from __future__ import annotations

from urllib.parse import parse_qs

from tests.support.tables import table

from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.web.pages.filters import JobFilter
from taskscheduler_daemon.web.pages.jobs.bar import chips, tabs

COUNTS = dict.fromkeys(Status, 5)


@table(
    ("wanted", "on"),
    [
        (JobFilter(), ["All"]),
        (JobFilter(status="failed"), ["failed"]),
        (JobFilter(q="status:failed class:Mail"), ["failed"]),
        (JobFilter(q="status:failed,timeout"), []),
        (JobFilter(status="live"), []),
    ],
)
def test_the_tab_of_the_status_is_marked(wanted: JobFilter, on: list[str]) -> None:
    assert [tab["text"] for tab in tabs(wanted, COUNTS) if tab["on"]] == on


def test_a_tab_keeps_all_other_conditions() -> None:
    wanted = JobFilter(queue="mail", q='status:failed class:"a b"', before="0" * 24)
    queries = {tab["text"]: parse_qs(tab["query"]) for tab in tabs(wanted, COUNTS)}
    assert queries["All"] == {"queue": ["mail"], "q": ['class:"a b"']}
    assert queries["done"] == {"queue": ["mail"], "q": ['class:"a b"'], "status": ["done"]}


def test_each_condition_can_be_removed_alone() -> None:
    found = chips(JobFilter(job="Mail", queue="mail", q="created:>-2h error:SMTP*"))
    assert {one["text"] for one in found} == {"class:Mail", "queue:mail", "created:>-2h", "error:SMTP*"}
    without = {one["text"]: parse_qs(one["query"]) for one in found}
    assert without["class:Mail"] == {"queue": ["mail"], "q": ["created:>-2h error:SMTP*"]}
    assert without["error:SMTP*"] == {"job": ["Mail"], "queue": ["mail"], "q": ["created:>-2h"]}
