"""Many jobs at once: what a selection finds, retries, cancels and deletes, what it skips, and what it refuses."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from bson import ObjectId
from tests.support.jobs import Echo, Fail, Hooked, Noop

from taskscheduler import (
    AsyncScheduler,
    DatabaseUnavailableError,
    InvalidDataError,
    InvalidOptionError,
    Process,
    Scheduler,
    Status,
    chain,
)
from taskscheduler.operations.selections import batches
from taskscheduler.store.attempts.claiming import claim_update
from taskscheduler.store.selections import search
from taskscheduler.store.selections.bulk import BulkChanges
from taskscheduler.testing import InlineNode

ID = "6a5f01c2e26cf26c6d0ede69"

FAILED = "status:failed class:fail"


def failing(scheduler: Scheduler, count: int = 5, **options: Any) -> list[Process]:
    """So many jobs that have failed."""
    added = scheduler.add_jobs([(Fail, f"mistake {number}", options) for number in range(count)])
    run(scheduler)
    return [process.refresh() for process in added]


def run(scheduler: Scheduler) -> None:
    with InlineNode(scheduler) as node:
        node.run_until_idle()


def ended(scheduler: Scheduler, process: Process, status: Status = Status.FAILED, **fields: Any) -> Process:
    """A job that has ended so, as if a node had written it."""
    values = {"status": int(status), "started": process.created, "ended": process.created, "attempt": 1, **fields}
    scheduler.store.jobs.collection.update_one({"_id": process.id}, {"$set": values})
    return process.refresh()


def claimed(scheduler: Scheduler, process: Process) -> Process:
    scheduler.store.jobs.collection.update_one({"_id": process.id}, claim_update("claim", ObjectId(), "a node"))
    return process.refresh()


def states(jobs: Sequence[Process]) -> list[str]:
    return [job.refresh().status.label for job in jobs]


# -- finding ----------------------------------------------------------------------------------------------------------


def test_a_selection_is_iterated_and_counted_by_an_expression_or_a_query(scheduler: Scheduler) -> None:
    jobs = failing(scheduler, 3)
    scheduler.add_job(Noop)
    selection = scheduler.select(FAILED)
    assert {job.id for job in selection} == {job.id for job in jobs}
    assert all(isinstance(job, Process) for job in selection)
    assert selection.count() == 3
    assert scheduler.select({"class": Fail, "status": "failed"}).count() == 3
    assert scheduler.select('status:failed error:"mistake 1"').count() == 1
    assert scheduler.select("status:failed data:*2 created:>-1h").count() == 1
    assert scheduler.select("mistake status:failed").count() == 3
    assert scheduler.select(everything=True).count() == 4


def test_all_jobs_are_meant_only_if_somebody_says_so(scheduler: Scheduler) -> None:
    nothings: tuple[Any, ...] = ("", " ", {}, None)
    for nothing in nothings:
        with pytest.raises(InvalidOptionError, match="everything=True, on the command line --all; or give a filter"):
            scheduler.select(nothing)
    with pytest.raises(InvalidOptionError, match="give a filter or everything=True, not both"):
        scheduler.select("status:failed", everything=True)
    with pytest.raises(InvalidOptionError, match="there is no key 'stauts'; did you mean status"):
        scheduler.select("stauts:failed")
    with pytest.raises(InvalidOptionError, match="jobs have no field 'stauts'"):
        scheduler.select({"stauts": "failed"})


@pytest.mark.parametrize(
    "where",
    [
        "status:failed", "status:failed,timeout class:a", "status:live class:a", "status:live", "tag:a", "service:a",
        "queue:a status:waiting", "status:waiting,failed error:x", "tag:a class:b created:>-1h", "ended:>-1h",
        f"id:{ID}", f"parent:{ID}", f"series:{ID}", "ended:>-1h status:done class:a",
        "status:failed tired", "at:<+1h status:live", "kind:service", "service:a*", "fingerprint:3f2a",
        "sequence:a status:live", "limit:a status:processing", f"flow:{ID}", f"flow:{ID} status:done class:a",
    ],
)  # fmt: skip
def test_a_filter_that_an_index_serves_is_searched(scheduler: Scheduler, where: str) -> None:
    assert scheduler.select(where).count() == 0


def test_jobs_of_flows_are_found_by_an_index_of_their_own(scheduler: Scheduler) -> None:
    flows = [scheduler.flows.add(chain(Noop, Noop)) for _ in range(2)]
    scheduler.add_jobs([Noop] * 3)
    for where, found in (("", 2), (" status:live", 2), (" status:done", 0), (" class:noop status:postponed", 1)):
        selection = scheduler.select(f"flow:{flows[0].id}{where}")
        assert selection.count() == found, where
        [query, *_] = scheduler.store.search.served({"flow": flows[0].id}) or []
        plan = scheduler.store.database.command({"explain": {"find": "taskscheduler.jobs", "filter": query}})
        assert "'indexName': 'flow'" in str(plan["queryPlanner"]["winningPlan"])
    assert scheduler.select(f"flow:{flows[0].id},{flows[1].id}").count() == 4
    with pytest.raises(InvalidOptionError, match="flow:x"):
        scheduler.select("flow:x")


@pytest.mark.parametrize(
    "where", ["class:a", "created:>-1h", "status:done", "status:done class:a", "data.x:1", "text", "limit:a"]
)
def test_a_filter_that_no_index_serves_asks_for_slow(scheduler: Scheduler, where: str) -> None:
    selection = scheduler.select(where)
    for look in (selection.count, selection.delete, lambda: list(selection)):
        with pytest.raises(InvalidOptionError, match=r"no index serves .*slow=True, on the command line --slow"):
            look()
    assert scheduler.select(where, slow=True).count() == 0


def test_live_jobs_of_a_sequence_are_found_by_its_index(scheduler: Scheduler) -> None:
    for number in range(20):
        scheduler.add_job(Noop, sequence=f"s-{number % 10}")
    selection = scheduler.select("sequence:s-7 status:live")
    assert selection.count() == 2
    [part] = scheduler.store.search.served({"sequence": "s-7", "status": {"$in": [0, 1, 2]}}) or []
    found = scheduler.store.jobs.collection.find(part).explain()
    assert "'indexName': 'sequence'" in str(found["queryPlanner"]["winningPlan"])


def test_a_slow_search_is_done_in_parts(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = scheduler.add_jobs([(Noop, number % 2) for number in range(7)])
    for part in (1, 2, 3, 7, 8):
        monkeypatch.setattr(search, "PART", part)
        for where in ("data:1", f"data:1 id:{','.join(str(job.id) for job in jobs)}"):
            selection = scheduler.select(where, slow=True)
            assert sorted(job.id for job in selection) == sorted(job.id for job in jobs[1::2])
            assert selection.count() == 3
    assert scheduler.select("data:1", slow=True).delete().count == 3


def test_what_is_left_alone_needs_no_search(scheduler: Scheduler) -> None:
    """To cancel jobs of a class, nobody has to read those that have ended."""
    job = scheduler.add_job(Noop)
    assert scheduler.select("class:noop").cancel().count == 1
    assert job.refresh().status is Status.CANCELED
    with pytest.raises(InvalidOptionError, match="no index serves"):
        scheduler.select("class:noop").retry()


# -- retrying ---------------------------------------------------------------------------------------------------------


def test_jobs_run_again_with_other_data_and_options(scheduler: Scheduler) -> None:
    jobs = failing(scheduler, 3, tags=["old"])
    waits = scheduler.add_job(Fail, "another", at=timedelta(hours=1))
    result = scheduler.select("class:fail", slow=True).retry(
        {"to": "b"}, reason="the server is back", priority=7, queue="bulk", tags=[], retry=2, timeout=60
    )
    assert (result.count, result.skipped, result.total, result.dry_run) == (3, 0, 3, False)
    assert waits.refresh().data == "another"
    for number, job in enumerate(jobs):
        assert job.refresh().status is Status.WAITING
        assert (job.data, job.tags, job.error, job.attempt) == ({"to": "b"}, [], None, 1)
        chosen = {name: job.options[name] for name in ("priority", "queue", "retry", "timeout")}
        assert chosen == {"priority": 7, "queue": "bulk", "retry": 2, "timeout": 60}
        (attempt,) = job.attempts
        assert (attempt["data"], attempt["retried"]) == (f"mistake {number}", "the server is back")
        assert attempt["error"]["message"] == f"mistake {number}"


def test_a_retry_is_spread_evenly(scheduler: Scheduler) -> None:
    jobs = failing(scheduler, 6)
    before = scheduler.store.clock.now()
    assert scheduler.select(FAILED).retry(spread=60).count == 6
    dates = [job.refresh().at for job in jobs]
    assert None not in dates
    gaps = [later - earlier for earlier, later in pairwise(dates) if earlier and later]
    assert gaps[1:] == [timedelta(seconds=10)] * 4
    assert dates[1] is not None
    assert abs((dates[1] - before).total_seconds() - 10) < 5
    assert states(jobs) == ["waiting", *["postponed"] * 5]
    with InlineNode(scheduler) as node:
        node.advance(35)
        node.run_due()
    assert states(jobs) == [*["failed"] * 4, *["postponed"] * 2]


def test_a_spread_begins_at_the_time_that_is_given(scheduler: Scheduler) -> None:
    jobs, at = failing(scheduler, 2), datetime(2100, 1, 1, tzinfo=UTC)
    scheduler.select(FAILED).retry(spread=10, at=at)
    assert [job.refresh().at for job in jobs] == [at, at + timedelta(seconds=5)]
    assert {job.options["at"] for job in jobs} == {at.timestamp()}


def test_a_limit_takes_the_oldest_and_a_dry_run_changes_nothing(scheduler: Scheduler) -> None:
    jobs = failing(scheduler, 4)
    selection = scheduler.select(FAILED)
    rehearsed = selection.retry(dry_run=True, limit=3)
    assert (rehearsed.count, rehearsed.dry_run) == (3, True)
    assert selection.cancel(dry_run=True).count == 0
    assert selection.delete(dry_run=True).count == 4
    assert states(jobs) == ["failed"] * 4
    assert selection.retry(limit=3).count == 3
    assert states(jobs) == [*["waiting"] * 3, "failed"]


def test_jobs_that_cannot_be_retried_are_skipped_and_counted(scheduler: Scheduler) -> None:
    first = [ended(scheduler, scheduler.add_job_once(Noop, number), Status.CANCELED) for number in range(3)]
    collection = scheduler.store.jobs.collection
    collection.update_many({}, {"$unset": {"once": ""}})
    scheduler.add_job_once(Noop, 1)
    ended(scheduler, scheduler.add_job("a program"), Status.TIMEOUT, program={"pid": 1, "host": "h"})
    result = scheduler.select("status:canceled,timeout").retry()
    assert (result.count, result.skipped) == (2, 2)
    assert dict(result.reasons) == {
        "add_job_once has added another job in its place": 1,
        "they are records of programs": 1,
    }
    assert states(first) == ["waiting", "canceled", "waiting"]
    scheduler.add_job_once(Noop, 0)
    assert collection.count_documents({"class": "noop"}) == 4  # the key of the retried job holds


def test_a_retried_job_with_other_data_holds_another_key(scheduler: Scheduler) -> None:
    job = ended(scheduler, scheduler.add_job_once(Noop, 1))
    scheduler.store.jobs.collection.update_one({"_id": job.id}, {"$unset": {"once": ""}})
    scheduler.select(f"id:{job.id}").retry(2)
    assert scheduler.add_job_once(Noop, 2).id == job.id
    assert scheduler.add_job_once(Noop, 1).id != job.id


def test_solo_jobs_are_admitted_one_at_a_time(scheduler: Scheduler) -> None:
    jobs = [ended(scheduler, scheduler.add_job(Fail, n, solo="key"), pending=[]) for n in range(3)]
    scheduler.store.jobs.collection.update_many({}, {"$unset": {"gate": "", "parked_at": ""}})
    assert scheduler.select(FAILED).retry().count == 3
    assert sorted(states(jobs)) == ["postponed", "postponed", "waiting"]
    run(scheduler)
    assert [job.refresh().attempt for job in jobs] == [2, 2, 2]


def test_a_retried_run_of_a_series_runs_for_itself(scheduler: Scheduler) -> None:
    job = scheduler.add_job(Fail, interval=3600)
    with InlineNode(scheduler) as node:
        node.run_due()
    assert job.refresh().status is Status.FAILED
    scheduler.select(FAILED).retry()
    assert (job.refresh().options["interval"], job.series) == (0, None)


def test_what_follows_from_the_end_of_a_job_comes_first(scheduler: Scheduler) -> None:
    """A failed child that owes it to its parent fails the parent, and is retried then."""
    parent = scheduler.add_job(Noop)
    child = ended(scheduler, scheduler.add_job(Fail, parent=parent.id), pending=["family", "hook"])
    assert scheduler.select(FAILED).retry().count == 1
    assert states([parent, child]) == ["failed", "waiting"]


def test_a_service_is_retried_as_it_is(scheduler: Scheduler) -> None:
    service = scheduler.start_service("web")
    scheduler.stop_service("web")
    refused = scheduler.select("service:web").retry("data")
    assert (refused.count, refused.skipped) == (0, 1)
    assert "is changed by start_service" in next(iter(refused.reasons))
    assert scheduler.select("service:web").retry().count == 1
    assert service.refresh().status is Status.WAITING


def test_wrong_values_change_nothing(scheduler: Scheduler) -> None:
    jobs, selection = failing(scheduler, 2), scheduler.select(FAILED)
    for given, message in (
        ({"interval": 5}, "option interval cannot be changed; those that can are priority, at, queue, tags, retry"),
        ({"prioritty": 5}, "option prioritty cannot be changed; did you mean priority"),
        ({"priority": "high"}, "option priority must be an integer"),
        ({"spread": -1}, "option spread must be between 0 and"),
        ({"limit": 0}, "option limit must be between 1 and"),
        ({"dry_run": 1}, "option dry_run must be a boolean"),
        ({"reason": ""}, "option reason must be a text of at least one and at most 500 characters"),
    ):
        with pytest.raises(InvalidOptionError, match=message):
            selection.retry(**given)
    with pytest.raises(InvalidDataError, match="the data of job fail cannot be stored"):
        selection.retry({"x": object()})
    assert states(jobs) == ["failed"] * 2


# -- cancelling and deleting ------------------------------------------------------------------------------------------


def test_jobs_are_cancelled_whatever_they_do(scheduler: Scheduler) -> None:
    parent = scheduler.add_job(Noop)
    child = scheduler.add_job(Hooked, {}, parent=parent.id)
    running = claimed(scheduler, scheduler.add_job(Noop))
    later = scheduler.add_job(Noop, at=timedelta(hours=1), interval=60)
    holder, parked = (scheduler.add_job(Noop, number, solo="key") for number in range(2))
    other = scheduler.add_job(Echo)
    result = scheduler.select("class:noop").cancel(reason="wrong customer", limit=4)
    assert (result.count, result.skipped) == (4, 0)
    jobs = [parent, child, running, later, holder]
    assert states(jobs) == ["canceled"] * 5
    assert states([parked, other]) == ["waiting"] * 2  # the lock is free
    assert {job.reason for job in (parent, running, later, holder)} == {"wrong customer"}
    assert parent.to_dict().get("pending") is None
    assert child.to_dict()["pending"] == ["hook"]  # which a node calls
    history = scheduler.store.events.of_job(parent.id, 10)
    assert [change.status for change in history] == [Status.CANCELED]


def test_a_cancelled_job_that_is_retried_notes_why_it_was_cancelled(scheduler: Scheduler) -> None:
    job = claimed(scheduler, scheduler.add_job(Noop))
    scheduler.cancel_job(job.id, reason="too late")
    assert job.refresh().reason == "too late"
    scheduler.retry_job(job.id, reason="not too late")
    assert job.refresh().reason is None
    assert [(one["reason"], one["retried"]) for one in job.attempts] == [("too late", "not too late")]


def test_jobs_are_deleted_whatever_they_do(scheduler: Scheduler) -> None:
    failing(scheduler, 2)
    kept = scheduler.add_job(Echo)
    parent = scheduler.add_job(Fail)
    child = scheduler.add_job(Echo, parent=parent.id)
    claimed(scheduler, scheduler.add_job(Fail))
    scheduler.add_job(Fail, interval=60, at=timedelta(hours=1))
    first, second = (scheduler.add_job("solo", number, solo="key") for number in range(2))
    ended(scheduler, scheduler.add_job(Fail), pending=["family"])
    result = scheduler.select("class:fail", slow=True).delete(reason="a mistake")
    assert (result.count, result.skipped) == (6, 0)
    assert scheduler.select("class:fail", slow=True).count() == 0
    assert states([kept, child]) == ["waiting", "canceled"]
    assert scheduler.select(f"id:{first.id}").delete().count == 1
    assert states([second]) == ["waiting"]


def test_the_lock_of_a_killed_solo_job_is_released_before_it_is_deleted(scheduler: Scheduler) -> None:
    holder, parked = (scheduler.add_job(Noop, number, solo="key") for number in range(2))
    claimed(scheduler, holder)
    scheduler.cancel_job(holder.id)
    assert "gate" in holder.refresh().to_dict()
    assert scheduler.select("status:canceled").delete().count == 1
    assert states([parked]) == ["waiting"]


# -- batches ----------------------------------------------------------------------------------------------------------


class CutOff:
    """Lets so many writes of a kind happen, then raises."""

    def __init__(self, write: Any, after: int, error: BaseException) -> None:
        self.write, self.left, self.error = write, after, error

    def __call__(self, *arguments: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise self.error
        return self.write(*arguments)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DatabaseUnavailableError("gone")])
def test_an_interrupted_retry_says_how_far_it_came_and_goes_on_when_repeated(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    jobs = failing(scheduler, 5)
    monkeypatch.setattr(batches, "BATCH", 2)
    selection = scheduler.select(FAILED)
    with monkeypatch.context() as cut:
        write = CutOff(scheduler.store.bulk.requeue_alike, 2, error)
        cut.setattr(BulkChanges, "requeue_alike", lambda _bulk, *given: write(*given))
        with pytest.raises(type(error)) as caught:
            selection.retry()
    assert caught.value.__notes__ == ["4 of 5 jobs were retried before this; the same call goes on with the others"]
    assert states(jobs) == [*["waiting"] * 4, "failed"]
    assert selection.retry().count == 1
    assert states(jobs) == ["waiting"] * 5


def test_a_job_that_fails_again_meanwhile_is_not_retried_twice(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = failing(scheduler, 4)
    monkeypatch.setattr(batches, "BATCH", 1)
    requeue = BulkChanges.requeue_alike

    def and_run(bulk: BulkChanges, *given: Any) -> Any:
        written = requeue(bulk, *given)
        run(scheduler)
        return written

    monkeypatch.setattr(BulkChanges, "requeue_alike", and_run)
    assert scheduler.select("status:ended", slow=True).retry().count == 4
    assert [job.refresh().attempt for job in jobs] == [2, 2, 2, 2]


def test_jobs_that_others_changed_meanwhile_are_skipped(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = failing(scheduler, 3)
    ids = scheduler.store.search.ids
    selection = scheduler.select(FAILED)

    def and_retry(*given: Any) -> Any:
        found = list(ids(*given))
        scheduler.retry_job(jobs[1].id)
        return iter(found)

    monkeypatch.setattr(scheduler.store.search, "ids", and_retry)
    result = selection.retry()
    assert (result.count, dict(result.reasons)) == (2, {"they changed meanwhile": 1})


def test_what_was_done_is_announced_and_logged(scheduler: Scheduler, caplog: pytest.LogCaptureFixture) -> None:
    jobs, heard = failing(scheduler, 2), list[tuple[str, ObjectId]]()
    scheduler.on("*", lambda event, process: heard.append((event.rpartition(".")[2], process.id)))
    with caplog.at_level(logging.INFO, "taskscheduler"):
        scheduler.select(FAILED).retry(reason="why not")
        scheduler.select("status:live").cancel()
    assert sorted(heard) == sorted((event, job.id) for event in ("cancel", "waiting") for job in jobs)
    (record, _) = [one for one in caplog.records if one.message.startswith("many jobs")]
    facts = vars(record)
    assert (record.message, facts["where"], facts["count"]) == ("many jobs retried", repr(FAILED), 2)
    assert (facts["skipped"], facts["reason"]) == (0, "why not")


# -- asyncio ----------------------------------------------------------------------------------------------------------


def test_a_selection_in_asyncio(scheduler: Scheduler, uri: str) -> None:
    jobs = failing(scheduler, 3)

    async def act() -> None:
        async with AsyncScheduler(uri) as twin:
            selection = twin.select(FAILED)
            assert await selection.count() == 3
            assert {job.id async for job in selection} == {job.id for job in jobs}
            assert (await selection.retry(dry_run=True)).count == 3
            assert (await selection.retry("other", limit=2)).count == 2
            assert (await twin.select("status:live").cancel(reason="no")).count == 2
            assert (await twin.select("class:fail", slow=True).delete()).count == 3
            with pytest.raises(InvalidOptionError, match="option limit"):
                await selection.retry(limit=0)

    asyncio.run(act())
    assert scheduler.select(everything=True).count() == 0


def test_a_cancelled_task_begins_no_further_batch(
    scheduler: Scheduler, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(scheduler, 3)
    monkeypatch.setattr(batches, "BATCH", 1)
    requeue, begun, goes_on = BulkChanges.requeue_alike, threading.Event(), threading.Event()
    batches_begun: list[Any] = []

    def slowly(bulk: BulkChanges, *given: Any) -> Any:
        batches_begun.append(given)
        begun.set()
        assert goes_on.wait(30)
        return requeue(bulk, *given)

    monkeypatch.setattr(BulkChanges, "requeue_alike", slowly)

    async def act() -> list[str]:
        async with AsyncScheduler(uri) as twin:
            task = asyncio.ensure_future(twin.select(FAILED).retry())
            assert await asyncio.to_thread(begun.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            asyncio.get_running_loop().call_later(0.3, goes_on.set)  # while the connection is being closed
            return caught.value.__notes__

    (note,) = asyncio.run(act())
    assert "of 3 jobs were retried before this" in note
    assert scheduler.select(FAILED).count() == 2, "the batch that was under way has gone on"
    assert len(batches_begun) == 1
