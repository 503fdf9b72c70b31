"""Logs of jobs on their pages, as text, and from the web service."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from tests.support.talking import fail_talking, print_bytes, say, silent
from tests.support.web import ended, says

from taskscheduler import Process, Scheduler, Status
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.web.api.logs import LogRecords


def ran(scheduler: Scheduler, job: Any, data: Any = None, **options: Any) -> Process:
    process = scheduler.add_job(job, data, options)
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    return process


def test_the_page_shows_the_log_of_each_attempt(client: TestClient, scheduler: Scheduler) -> None:
    process = ran(scheduler, fail_talking, retry=1, retry_interval=0)
    page = client.get(f"/jobs/{process.id}").text
    assert "stdout attempt 1\n" in page
    assert "stdout attempt 2\n" in page
    page = client.get(f"/jobs/{process.id}?attempt=2&level=").text
    assert "stdout attempt 1\n" not in page
    assert "<option selected>2</option>" in page
    assert "No lines of this level" in client.get(f"/jobs/{process.id}?level=ERROR").text
    text = client.get(f"/jobs/{process.id}/log.txt")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert [line.partition(" ")[2] for line in text.text.splitlines()] == ["stdout attempt 1", "stdout attempt 2"]
    assert client.get(f"/jobs/{process.id}/log.txt?attempt=2").text.endswith("stdout attempt 2\n")


def test_a_job_without_a_log_shows_none(client: TestClient, scheduler: Scheduler) -> None:
    process = ran(scheduler, silent)
    assert 'id="log"' not in client.get(f"/jobs/{process.id}").text
    assert client.get(f"/jobs/{process.id}/log.txt").text == ""
    assert client.get(f"/jobs/{'0' * 24}/log.txt").status_code == 404


def test_what_a_job_prints_cannot_become_markup(client: TestClient, scheduler: Scheduler) -> None:
    process = ran(scheduler, say, {"text": "</pre><script>alert(1)</script>\x1b[31m"})
    page = client.get(f"/jobs/{process.id}").text
    assert "<script>alert" not in page
    assert "</pre><script>alert(1)</script>\\x1b[31m 0" in html.unescape(page)


def test_the_service_answers_a_page_from_either_end(client: TestClient, scheduler: Scheduler) -> None:
    process = ran(scheduler, say, {"text": "line", "times": 25})
    found, cursor = list[str](), ""
    while True:
        answer = client.get(f"/api/v1/jobs/{process.id}/logs?limit=10&order=newest{cursor}")
        page = TypeAdapter(LogRecords).validate_json(answer.content)
        found += [line.text for line in page.lines]
        if page.next is None:
            break
        cursor = f"&cursor={page.next}"
    assert found == [f"line {number}" for number in reversed(range(25))]
    oldest = client.get(f"/api/v1/jobs/{process.id}/logs?attempt=1").json()
    assert (len(oldest["lines"]), oldest["next"]) == (25, None)
    assert oldest["lines"][0]["level"] == "INFO"


def test_the_page_of_a_job_that_runs_asks_for_what_follows(client: TestClient, scheduler: Scheduler) -> None:
    job = ended(scheduler, Status.PROCESSING)
    page = client.get(f"/jobs/{job}").text
    assert "<i>Nothing yet.</i>" in page
    more = f"/jobs/{job}/log?attempt=&level="
    assert f'data-at="" data-more="{html.escape(more)}"' in page
    assert client.get(f"{more}&after=").status_code == 204

    says(scheduler, job, 0, "one", "two")
    answer = client.get(f"{more}&after=").text
    assert re.findall(r"stdout (\w+)\n", answer) == ["one", "two"]
    assert 'data-at="1.0.1"' in answer
    assert client.get(f"{more}&after=1.0.1").status_code == 204
    says(scheduler, job, 1, "three <b>", "four")
    assert re.findall(r"stdout (.+)\n", client.get(f"{more}&after=1.0.1").text) == ["three &lt;b&gt;", "four"]
    assert "stdout" not in client.get(f"/jobs/{job}/log?attempt=&level=ERROR&after=").text

    says(scheduler, job, 2, *map(str, range(1000)))
    flood = re.findall(r"stdout (\d+)\n", client.get(f"{more}&after=1.0.1").text)
    assert flood == [str(number) for number in range(800, 1000)]
    assert client.get(f"{more}&after=nowhere").status_code == 400
    assert "data-more" not in client.get(f"/jobs/{ended(scheduler, Status.DONE)}").text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("attempt=x", "Malformed attempt: Input should be a valid integer"),
        ("attempt=0", "Malformed attempt: Input should be greater than or equal to 1"),
        ("limit=20000", "Malformed limit: Input should be less than or equal to 10000"),
        ("order=up", "Malformed order: Input should be 'oldest' or 'newest'"),
        ("cursor=9", "cursor '9' is none"),
        ("level=INFO", 'Unknown parameter "level"'),
    ],
)
def test_a_wrong_parameter_is_named(client: TestClient, scheduler: Scheduler, query: str, said: str) -> None:
    process = scheduler.add_job(print_bytes, {"data": b""})
    answer = client.get(f"/api/v1/jobs/{process.id}/logs?{query}")
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
