"""Logs of jobs that run inline, and what becomes of logs when their jobs are deleted."""

from __future__ import annotations

import asyncio
import sys

import pytest
from tests.support.talking import fail_talking, say, say_async, say_each, silent

from taskscheduler import AsyncScheduler, InvalidOptionError, JobNotFoundError, Process, Scheduler, job
from taskscheduler.testing import InlineNode


def texts(process: Process, attempt: int | None = None) -> list[str]:
    return [line.text for line in process.logs(attempt)]


@job(name="speaks_up")
def speaks_up() -> None:
    sys.stdout.write("half ")
    sys.stdout.write("a line\nand")
    sys.stderr.write("an error\n")


def test_a_job_that_runs_inline_has_a_log(scheduler: Scheduler, capsys: pytest.CaptureFixture[str]) -> None:
    told, spoke, nothing = (
        scheduler.add_job(say, {"text": "hello"}),
        scheduler.add_job(speaks_up),
        scheduler.add_job(silent),
    )
    with InlineNode(scheduler) as node:
        node.run_due()
    assert [(line.level, line.logger, line.text) for line in told.logs()] == [
        ("INFO", "tests.support.talking", "hello 0")
    ]
    assert [(line.stream, line.text) for line in spoke.logs()] == [
        ("stdout", "half a line"),
        ("stderr", "an error"),
        ("stdout", "and"),
    ]
    assert texts(nothing) == []
    assert capsys.readouterr().out == "half a line\nand"


def test_each_attempt_and_each_batch_has_one(scheduler: Scheduler) -> None:
    failing = scheduler.add_job(fail_talking, retry=1, retry_interval=0)
    batch = [scheduler.add_job(say_each, number) for number in range(3)]
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert [(line.attempt, line.text) for line in failing.logs()] == [(1, "attempt 1"), (2, "attempt 2")]
    assert texts(failing, 2) == ["attempt 2"]
    assert [texts(process) for process in batch] == [["together 3", "item 0", "item 1", "item 2"]] * 3


@pytest.mark.parametrize("way", ["delete", "select", "flush", "old", "by itself"])
def test_a_log_goes_with_its_job(scheduler: Scheduler, way: str) -> None:
    kept = scheduler.add_job(say, {"text": "kept"}, queue="other")
    gone = [scheduler.add_job(say, {"text": "gone"}), scheduler.add_job(say_each, 1), scheduler.add_job(say_each, 2)]
    with InlineNode(scheduler) as node:
        node.run_due()
    store = scheduler.store
    if way == "delete":
        for process in gone:
            assert scheduler.delete_job(process.id)
        store.logs.sweep(None)  # of the batch, as nodes do
    elif way == "select":
        assert scheduler.select("queue:default", slow=True).delete().count == 3
        store.logs.sweep(None)
    elif way == "flush":
        assert scheduler.flush(queue="default") == 3
    elif way == "old":
        assert scheduler.delete_old_jobs(0, job="say_each") == 2
        scheduler.delete_job(gone[0].id)
    else:
        store.jobs.collection.delete_many({"queue": "default"})
        store.logs.sweep(None)
    logs = store.database["taskscheduler.logs"]
    assert logs.distinct("job") == [kept.id]
    assert texts(kept) == ["kept 0"]


def test_the_log_of_a_batch_stays_while_one_of_its_jobs_does(scheduler: Scheduler) -> None:
    batch = [scheduler.add_job(say_each, number) for number in range(3)]
    with InlineNode(scheduler) as node:
        node.run_due()
    for process in batch[:2]:
        scheduler.delete_job(process.id)
    assert scheduler.store.logs.sweep(None) == (0, None)
    assert texts(batch[2]) == ["together 3", "item 0", "item 1", "item 2"]


def test_a_log_is_read_in_pages_from_either_end(scheduler: Scheduler) -> None:
    process = scheduler.add_job(say, {"text": "line", "times": 25})
    with InlineNode(scheduler) as node:
        node.run_due()
    expected = [f"line {number}" for number in range(25)]
    for newest_first in (False, True):
        found, cursor = list[str](), None
        while True:
            page = scheduler.logs.page(process.id, cursor=cursor, limit=10, newest_first=newest_first)
            found += [line.text for line in page.lines]
            if page.next is None:
                break
            cursor = str(page.next)
        assert found == (expected[::-1] if newest_first else expected)
    assert scheduler.logs.attempts(process.id) == [1]


def test_what_cannot_be_read_is_refused_at_the_call(scheduler: Scheduler) -> None:
    process = scheduler.add_job(silent)
    with pytest.raises(InvalidOptionError, match="option attempt must"):
        process.logs(attempt=0)
    with pytest.raises(InvalidOptionError, match="cursor 'x' is none"):
        scheduler.logs.page(process.id, cursor="x")
    process.cancel()
    scheduler.delete_job(process.id)
    with pytest.raises(JobNotFoundError):
        process.logs()


def test_a_log_is_read_as_a_coroutine(scheduler: Scheduler, uri: str) -> None:
    process = scheduler.add_job(say_async, {"text": "x", "times": 1})
    with InlineNode(scheduler) as node:
        node.run_due()

    async def read() -> None:
        async with AsyncScheduler(uri) as twin:
            found = await twin.get_job(process.id)
            assert [line.text async for line in found.logs(follow=True)] == ["x 0", "x logs 0", "x in a thread"]
            assert len((await twin.logs.page(process.id)).lines) == 3

    asyncio.run(read())
