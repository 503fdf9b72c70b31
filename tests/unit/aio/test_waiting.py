"""Waiting in an event loop without a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from bson import ObjectId
from tests.unit.waiting.fakes import FakeWatcher, document

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.aio.threads import LoopThreads
from taskscheduler.aio.waiting import AsyncWait, as_completed, wait_for
from taskscheduler.errors import JobNotFoundError, WaitTimeoutError
from taskscheduler.model.job_errors import JobFailedError
from taskscheduler.model.lifecycle import Status
from taskscheduler.waiting.batch import BatchProgress


def process(status: Status = Status.WAITING) -> AsyncProcess:
    return AsyncProcess(cast(Any, None), document(status))


def ended(one: AsyncProcess, status: Status = Status.DONE) -> tuple[ObjectId, dict[str, Any]]:
    return one.id, {**one.to_dict(), "status": int(status)}


def waiting(watcher: FakeWatcher, *processes: AsyncProcess, timeout: float | None = None, throw: bool = False) -> None:
    """Waits for these jobs in an event loop of its own."""

    async def body(threads: LoopThreads) -> None:
        wait = AsyncWait(processes, asyncio.get_running_loop(), throw)
        await wait_for(watcher.real, threads, wait, timeout)

    _run(body)


def _run(body: Callable[[LoopThreads], Any]) -> Any:
    async def main() -> Any:
        threads = LoopThreads()
        try:
            return await body(threads)
        finally:
            threads.end()

    return asyncio.run(main())


def test_a_wait_ends_with_the_last_job_and_refreshes_all() -> None:
    first, second, same = process(), process(Status.POSTPONED), process()
    same.replace(first.to_dict())
    watcher = FakeWatcher(ended(second, Status.FAILED), ended(first))
    waiting(watcher, first, second, same)
    assert [one.status for one in (first, second, same)] == [Status.DONE, Status.FAILED, Status.DONE]
    assert watcher.known == {first.id: Status.WAITING, second.id: Status.POSTPONED}
    assert len(watcher.ended) == 1


def test_with_throw_the_first_that_did_not_succeed_ends_the_wait() -> None:
    good, bad, open_end = process(), process(), process()
    watcher = FakeWatcher(ended(good), ended(bad, Status.FAILED))
    with pytest.raises(JobFailedError):
        waiting(watcher, good, bad, open_end, throw=True)
    assert len(watcher.ended) == 1


def test_a_wait_that_is_over_says_how_many_are_left() -> None:
    first, second = process(), process()
    watcher = FakeWatcher(ended(first))
    with pytest.raises(WaitTimeoutError, match=r"1 job has not ended within 0\.01 seconds"):
        waiting(watcher, first, second, timeout=0.01)
    assert len(watcher.ended) == 1


@pytest.mark.parametrize("timeout", [0, -0.5, float("-inf")])
def test_a_wait_that_is_over_before_it_begins_is_late_unless_all_have_ended(timeout: float) -> None:
    one = process()
    with pytest.raises(WaitTimeoutError):
        waiting(FakeWatcher(), one, timeout=timeout)
    waiting(FakeWatcher(ended(one)), one, timeout=timeout)
    assert one.status is Status.DONE


def test_what_keeps_a_job_from_ending_is_raised() -> None:
    one = process()
    with pytest.raises(JobNotFoundError):
        waiting(FakeWatcher((one.id, JobNotFoundError(one.id))), one)


def test_a_task_that_is_cancelled_ends_its_subscription() -> None:
    watcher, one = FakeWatcher(), process()

    async def body(threads: LoopThreads) -> None:
        wait = AsyncWait([one], asyncio.get_running_loop())
        task = asyncio.ensure_future(wait_for(watcher.real, threads, wait, None))
        while not watcher.known:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    _run(body)
    assert len(watcher.ended) == 1


# -- a batch ----------------------------------------------------------------------------------------------------------


def test_a_batch_comes_in_the_order_in_which_its_jobs_end() -> None:
    first, second = process(), process()
    watcher, progress = FakeWatcher(ended(second), ended(second), ended(first)), BatchProgress([first, second])

    async def body(threads: LoopThreads) -> list[AsyncProcess]:
        return [one async for one in as_completed(watcher.real, threads, progress, None)]

    assert _run(body) == [second, first]
    assert (progress.done, progress.succeeded, len(watcher.ended)) == (2, True, 1)


def test_a_batch_that_is_late_says_how_many_are_left() -> None:
    watcher, progress = FakeWatcher(), BatchProgress([process(), process()])

    async def body(threads: LoopThreads) -> None:
        async for _ in as_completed(watcher.real, threads, progress, 0.01):
            pytest.fail("none has ended")

    with pytest.raises(WaitTimeoutError, match=r"2 jobs have not ended within 0\.01 seconds"):
        _run(body)
    assert len(watcher.ended) == 1


@pytest.mark.parametrize("timeout", [0, -0.5, float("-inf")])
def test_a_batch_that_is_over_before_it_begins_takes_what_has_ended_and_is_late(timeout: float) -> None:
    first, second = process(), process()
    watcher, done = FakeWatcher(ended(first)), []

    async def body(threads: LoopThreads) -> None:
        async for one in as_completed(watcher.real, threads, BatchProgress([first, second]), timeout):
            done.append(one)

    with pytest.raises(WaitTimeoutError, match="1 job has not ended"):
        _run(body)
    assert done == [first]
