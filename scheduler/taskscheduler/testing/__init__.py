"""Runs jobs in this process, for tests and small programs: no node, no fork, and a time that can be advanced.

    @pytest.fixture
    def scheduler():
        with fresh_scheduler() as scheduler:
            yield scheduler

    def test_a_mail_is_tried_again_after_an_hour(scheduler):
        with InlineNode(scheduler) as node:
            process = scheduler.add_job(MailJob, {"to": "nobody"}, retry=1, retry_interval=3600)
            node.run_due()
            assert process.refresh().status is Status.POSTPONED
            node.advance(3600)
            node.run_due()
            assert process.wait().status is Status.FAILED
            assert len(process.attempts) == 2

It runs the code of a node: jobs are claimed from a real database, and each attempt is completed in the same way, with
retries, intervals, families and notifications. Features that need a process of their own are missing: a job cannot be
killed, so a `timeout` is noticed only when the job returns, and limits of memory or silence are not. To wait for a job
that has not been run takes for ever. Async jobs run one at a time, too. A service is asked to stop as soon as it
waits. A batch is made of the jobs that are due, without waiting for more. Logs have what jobs log and print in Python,
not what their children print. No real node should serve the database meanwhile.
"""

from __future__ import annotations

from taskscheduler.testing.databases import FreshDatabases, fresh_scheduler
from taskscheduler.testing.inline_node import InlineNode

__all__ = ["FreshDatabases", "InlineNode", "fresh_scheduler"]
