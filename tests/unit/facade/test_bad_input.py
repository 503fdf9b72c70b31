"""Bad input is refused at the call, also while no database can be reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskscheduler import InvalidJobError, InvalidOptionError, Scheduler
from taskscheduler.errors import SchedulerError


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """A scheduler whose server is away; to ask it takes a moment and ends in DatabaseUnavailableError."""
    with Scheduler("mongodb://127.0.0.1:1/app?serverSelectionTimeoutMS=50") as scheduler:
        yield scheduler


@pytest.mark.parametrize(
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
