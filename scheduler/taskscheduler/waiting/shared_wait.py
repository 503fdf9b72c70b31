"""Waits for some jobs in this thread, on the stream that serves all waits of the scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from queue import Empty

from bson import ObjectId

from taskscheduler.clock import Deadline
from taskscheduler.errors import WaitTimeoutError
from taskscheduler.process import Process
from taskscheduler.waiting.batch import Arrivals
from taskscheduler.waiting.completion_watcher import CompletionWatcher, Subscription


def wait_shared(watcher: CompletionWatcher, processes: Sequence[Process], timeout: float | None, throw: bool) -> None:
    """Returns when all jobs have ended; the errors are those of a Waiter."""
    waiting: dict[ObjectId, list[Process]] = {}
    for process in processes:
        waiting.setdefault(process.id, []).append(process)
    arrivals = Arrivals()
    subscription, deadline = Subscription(arrivals), Deadline(timeout)
    try:
        watcher.subscribe(subscription, {job_id: same[0].status for job_id, same in waiting.items()})
        while waiting:
            try:
                job_id, outcome = arrivals.next(None if timeout is None else deadline.left(timeout))
            except Empty:
                raise WaitTimeoutError.of(len(waiting), timeout) from None
            if isinstance(outcome, Exception):
                raise outcome
            ended = waiting.pop(job_id, [])
            for process in ended:
                process.replace(outcome)
            if throw and ended:
                ended[0].raise_for_status()
    finally:
        watcher.unsubscribe(subscription)
