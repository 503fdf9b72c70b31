"""The audit log: what people do is written down before they do it, and refused if their role does not allow it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support.jobs import Noop

from taskscheduler import (
    AsyncScheduler,
    AuditEntry,
    DatabaseError,
    InvalidOptionError,
    InvalidStateError,
    NotPermittedError,
    Scheduler,
    Status,
)
from taskscheduler.testing import InlineNode

AUDIT = "taskscheduler.audit"


def summary(entry: AuditEntry) -> tuple[Any, ...]:
    return entry.who, entry.what, entry.target, entry.count, entry.reason, entry.outcome


def test_who_acts_for_himself_writes_nothing(scheduler: Scheduler) -> None:
    scheduler.cancel_job(scheduler.add_job(Noop).id)
    scheduler.pause(queue="mail")
    assert AUDIT not in scheduler.database.list_collection_names()


def test_what_somebody_does_is_written_down(scheduler: Scheduler) -> None:
    job = scheduler.add_job(Noop)
    with scheduler.audit.acting("ana", "a test"):
        scheduler.cancel_job(job.id)
        scheduler.retry_job(job.id, reason="once more")
        scheduler.limits.set("stripe", concurrency=5)
        added = scheduler.add_job(Noop, {"secret": 1})
        scheduler.select("class:noop").cancel()
        paused = scheduler.pause(queue="mail")
    scheduler.resume(queue="mail")
    assert paused.by == "ana"
    found = scheduler.audit.entries()
    assert [summary(entry) for entry in found] == [
        ("ana", "pause", None, 1, "a test", "done"),
        ("ana", "jobs.cancel", None, 2, "a test", "done"),
        ("ana", "job.add", added.id_text, 1, "a test", "done"),
        ("ana", "limit.set", "stripe", 1, "a test", "done"),
        ("ana", "job.retry", job.id_text, 1, "once more", "done"),
        ("ana", "job.cancel", job.id_text, 1, "a test", "done"),
    ]
    assert [entry.facts for entry in found[:4]] == [
        {"queue": "mail"},
        {"where": "class:noop"},
        {"job": "Noop"},
        {"concurrency": 5},
    ]
    assert "secret" not in str([entry.to_dict() for entry in found])


def test_the_log_is_read_by_who_what_target_time_and_outcome(scheduler: Scheduler) -> None:
    audit = scheduler.audit
    for name in ("ana", "ben"):
        with audit.acting(name):
            scheduler.limits.set(name, concurrency=1)
            scheduler.groups.set(name, 2)
    assert [entry.what for entry in audit.entries(who="ana")] == ["group.set", "limit.set"]
    assert [entry.who for entry in audit.entries(what="limit")] == ["ben", "ana"]
    assert [entry.what for entry in audit.entries(target="ben", outcome="done")] == ["group.set", "limit.set"]
    assert audit.entries(outcome="refused") == []
    assert len(audit.entries(since=60)) == 4
    first, second, *_ = audit.entries(limit=2)
    rest = audit.entries(before=second.id)
    assert [first.id, second.id, *(entry.id for entry in rest)] == [entry.id for entry in audit.entries()]
    for wrong in ({"what": "jub"}, {"outcome": "good"}, {"limit": 0}, {"since": -1}, {"before": "x"}):
        with pytest.raises(InvalidOptionError):
            audit.entries(**wrong)


def test_a_role_is_refused_what_it_may_not_do_and_nothing_changes(scheduler: Scheduler) -> None:
    job = scheduler.add_job(Noop)
    with (
        scheduler.audit.acting("vera", role="viewer"),
        pytest.raises(NotPermittedError, match="vera is viewer and may"),
    ):
        scheduler.cancel_job(job.id)
    with scheduler.audit.acting("otto", role="operator"):
        with pytest.raises(NotPermittedError, match=r"\(job.delete\); it takes the role admin"):
            scheduler.delete_job(job.id)
        with pytest.raises(NotPermittedError):
            scheduler.update_job(job.id, data={"other": 1})
        with pytest.raises(NotPermittedError):
            scheduler.select("status:waiting").delete()
        assert scheduler.select("status:waiting").delete(dry_run=True).count == 1
        scheduler.update_job(job.id, priority=3)
    assert (job.refresh().status, job.options["priority"], job.data) == (Status.WAITING, 3, None)
    found = scheduler.audit.entries(outcome="refused")
    assert [(entry.who, entry.what) for entry in found] == [
        ("otto", "jobs.delete"),
        ("otto", "job.rewrite"),
        ("otto", "job.delete"),
        ("vera", "job.cancel"),
    ]
    assert found[-1].error is not None


def test_many_refusals_are_few_entries(scheduler: Scheduler) -> None:
    with scheduler.audit.acting("vera", role="viewer"):
        for _ in range(50):
            with pytest.raises(NotPermittedError):
                scheduler.pause()
    assert len(scheduler.audit.entries(who="vera")) == 20


def test_an_action_that_fails_says_so(scheduler: Scheduler) -> None:
    job = scheduler.add_job(Noop)
    with scheduler.audit.acting("ana"), pytest.raises(InvalidStateError):
        scheduler.retry_job(job.id)
    (entry,) = scheduler.audit.entries()
    assert entry.outcome == "failed"
    assert str(entry.error).startswith("InvalidStateError: ")


def test_nothing_is_done_that_cannot_be_written_down(scheduler: Scheduler) -> None:
    scheduler.database.create_collection(AUDIT, validator={"who": "nobody"})
    job = scheduler.add_job(Noop)
    with scheduler.audit.acting("ana"), pytest.raises(DatabaseError):
        scheduler.cancel_job(job.id)
    assert job.refresh().status is Status.WAITING


def test_the_entry_is_there_before_the_action_begins(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    job, seen = scheduler.add_job(Noop), list[str]()

    def dies(*_: Any) -> Any:
        seen.extend(entry.outcome for entry in scheduler.audit.entries())
        raise SystemExit

    monkeypatch.setattr(scheduler.core.canceller, "cancel_series", dies)
    with scheduler.audit.acting("ana"), pytest.raises(SystemExit):
        scheduler.cancel_job(job.id)
    assert seen == ["begun"]
    assert [(entry.outcome, entry.error) for entry in scheduler.audit.entries()] == [("failed", "interrupted")]


def test_entries_end_after_their_retention(uri: str) -> None:
    with Scheduler(uri, audit_retention=60) as scheduler:
        with scheduler.audit.acting("ana"):
            scheduler.pause()
        (entry,) = scheduler.audit.entries()
        assert entry.at is not None
        assert (entry.to_dict()["expires"] - entry.at).total_seconds() == 60
        assert scheduler.database[AUDIT].index_information()["expires"]["expireAfterSeconds"] == 0


def test_a_transaction_leaves_its_entry_open(scheduler: Scheduler, uri: str) -> None:
    acting = scheduler.audit.acting("ana")
    with (
        MongoClient[dict[str, Any]](uri) as client,
        client.start_session() as session,
        acting,
        session.start_transaction(),
    ):
        scheduler.add_job(Noop, session=session)
    assert [entry.outcome for entry in scheduler.audit.entries()] == ["begun"]


def test_other_threads_act_for_themselves_and_coroutines_for_whom_they_began(scheduler: Scheduler, uri: str) -> None:
    with scheduler.audit.acting("ana"):
        thread = threading.Thread(target=scheduler.pause, kwargs={"queue": "of-a-thread"})
        thread.start()
        thread.join()
    assert AUDIT not in scheduler.database.list_collection_names()

    async def work() -> list[AuditEntry]:
        async with AsyncScheduler(uri) as twin:

            async def act(name: str) -> None:
                with twin.audit.acting(name):
                    await twin.pause(queue=name)
                    await asyncio.sleep(0)
                    await twin.resume(queue=name)

            await asyncio.gather(act("ana"), act("ben"))
            with twin.audit.acting("vera", role="viewer"), pytest.raises(NotPermittedError):
                await twin.add_job(Noop)
            await twin.add_job(Noop)
            with twin.audit.acting("eve"):
                await twin.select("class:noop").cancel(reason="all of them")
            return await twin.audit.entries()

    found = asyncio.run(work())
    assert sorted((entry.who, entry.what, entry.facts.get("queue")) for entry in found) == [
        ("ana", "pause", "ana"),
        ("ana", "resume", "ana"),
        ("ben", "pause", "ben"),
        ("ben", "resume", "ben"),
        ("eve", "jobs.cancel", None),
        ("vera", "job.add", None),
    ]
    assert [summary(entry)[3:] for entry in found if entry.who == "eve"] == [(1, "all of them", "done")]


def test_a_process_and_a_flow_act_for_the_same(scheduler: Scheduler) -> None:
    process = scheduler.add_job(Noop)
    with scheduler.audit.acting("ana"):
        process.cancel()
    with InlineNode(scheduler) as node:
        node.run_due()
    assert [summary(entry)[:4] for entry in scheduler.audit.entries()] == [("ana", "job.cancel", process.id_text, 1)]


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", 7])
def test_an_actor_has_a_printable_name(scheduler: Scheduler, name: Any) -> None:
    with pytest.raises(InvalidOptionError, match="option as_ must be a printable text"):
        scheduler.audit.acting(name)
