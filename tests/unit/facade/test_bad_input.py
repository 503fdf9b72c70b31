"""Bad input is refused at the call, also while no database can be reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler import InvalidJobError, InvalidOptionError, Scheduler
from taskscheduler.errors import SchedulerError


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """A scheduler whose server is away; to ask it takes a moment and ends in DatabaseUnavailableError."""
    with Scheduler("mongodb://127.0.0.1:1/app?serverSelectionTimeoutMS=50") as scheduler:
        yield scheduler


@table(
    ("call", "error"),
    [
        (lambda s: s.add_job("mail", retires=3), InvalidOptionError),
        (lambda s: s.add_job(3), InvalidJobError),
        (lambda s: s.add_jobs([("mail", None, {"retires": 3})]), InvalidOptionError),
        (lambda s: s.add_jobs([("mail", None, {}, 4)]), InvalidJobError),
        (lambda s: s.add_job_once("mail", retires=3), InvalidOptionError),
        (lambda s: s.add_job_once("mail", dedupe=True), InvalidOptionError),
        (lambda s: s.start_service("mail", retry=3), InvalidOptionError),
        (lambda s: s.cancel_job("no id"), SchedulerError),
        (lambda s: s.flush(job=3), InvalidJobError),
        (lambda s: s.flush(queue="No Queue"), InvalidOptionError),
        (lambda s: s.restore(queue="No Queue"), InvalidOptionError),
        (lambda s: s.counts("status"), InvalidOptionError),
        (lambda s: s.delete_old_jobs("long"), InvalidOptionError),
        (lambda s: s.failures("2h"), InvalidOptionError),
        (lambda s: s.failures(since=True), InvalidOptionError),
        (lambda s: s.failures(since=datetime(2026, 1, 1)), InvalidOptionError),  # noqa: DTZ001 the point of the test
        (lambda s: s.failures(since=-1), InvalidOptionError),
        (lambda s: s.failures(job=3), InvalidJobError),
        (lambda s: s.failures(limit=0), InvalidOptionError),
        (lambda s: s.failures(limit=1001), InvalidOptionError),
        (lambda s: s.pause(queue="No Queue"), InvalidOptionError),
        (lambda s: s.pause(job=3), InvalidJobError),
        (lambda s: s.pause(tag=""), InvalidOptionError),
        (lambda s: s.pause(tag=["x"]), InvalidOptionError),
        (lambda s: s.pause(queue="mail", job="Mail"), InvalidOptionError),
        (lambda s: s.pause(reason=""), InvalidOptionError),
        (lambda s: s.pause(until="2h"), InvalidOptionError),
        (lambda s: s.pause(until=-1), InvalidOptionError),
        (lambda s: s.pause(until=1_900_000_000), InvalidOptionError),
        (lambda s: s.pause(until=datetime(2100, 1, 1)), InvalidOptionError),  # noqa: DTZ001 the same
        (lambda s: s.resume(queue="mail", tag="x"), InvalidOptionError),
        (lambda s: s.resume(job=3), InvalidJobError),
        (lambda s: s.listen(3), InvalidOptionError),
        (lambda s: s.wait_for([3]), InvalidOptionError),
    ],
)
def test_bad_input_is_refused_before_the_database_is_asked(
    scheduler: Scheduler, call: Callable[[Scheduler], Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        call(scheduler)
    assert "MongoDB" not in str(caught.value)
