"""The schedulers that a worker lends to its jobs."""

from __future__ import annotations

from taskscheduler import Scheduler
from taskscheduler_daemon.lending import AsyncBorrower, SchedulerLender


def test_the_scheduler_of_the_factory_is_lent() -> None:
    given = Scheduler("mongodb://127.0.0.1:1/app")  # which connects when it is used
    lender = SchedulerLender(given)
    borrower = AsyncBorrower(lender)
    assert borrower.scheduler() is given
    assert borrower.async_scheduler() is lender.async_scheduler(), "one for all jobs"
    lender.close()


def test_without_one_a_scheduler_is_made_when_a_job_asks_and_once() -> None:
    lender = SchedulerLender()
    lender.close()  # nothing was opened
    assert lender.scheduler() is lender.scheduler()
    lender.close()
