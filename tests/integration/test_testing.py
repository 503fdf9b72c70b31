"""Jobs run in this process end as they do on a node: the same statuses, attempts, errors and follow-ups."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess

import taskscheduler.testing
from taskscheduler import (
    AsyncScheduler,
    InvalidOptionError,
    Job,
    Process,
    Scheduler,
    SchedulerError,
    Service,
    Status,
    job,
)
from taskscheduler.store.outbox import HOOK
from taskscheduler.testing import InlineNode, fresh_scheduler

#: job, data, options
SCENARIOS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "done": ("noop", None, {}),
    "a result": ("sum", {"a": 1, "b": 2}, {}),
    "a failure": ("fail", "no", {}),
    "a failure after retries": ("fail", "no", {"retry": 2, "retry_interval": 0}),
    "a success after retries": ("flaky", 3, {"retry": 5, "retry_interval": 0}),
    "a retry that is due later": ("fail", "no", {"retry": 1, "retry_interval": 3600}),
    "a job that snoozes": ("snoozes", 2, {}),
    "a function that snoozes": ("snoozes_function", 1, {}),
    "an async function that snoozes": ("async_snoozes", 1, {}),
    "a discarded job": ("chooses", "Discard", {"retry": 3, "retry_interval": 0}),
    "an error to try again": ("chooses", "ConnectionError", {"retry": 2, "backoff": [0]}),
    "an error to discard": ("chooses", "FileNotFoundError", {"retry": 2, "backoff": [0]}),
    "an error that is not named": ("chooses", "ValueError", {"retry": 2, "backoff": [0]}),
    "a job that asks for retries": ("chooses", "Retry", {"retry": 2, "backoff": "exponential"}),
    "a job that asks for a later retry": ("chooses", "RetryLater", {"retry": 2, "retry_interval": 0}),
    "a retry that would be too late": ("fail", "no", {"retry": 5, "retry_interval": 10, "retry_for": 5}),
    "a retry with all options": ("fail", "no", {"retry": 1, "jitter": 0.5, "retry_for": 3600, "backoff": "linear"}),
    "a job that starts in time": ("noop", None, {"start_by": 600}),
    "an exit": ("system_exit", None, {}),
    "a result that cannot be stored": ("unstorable", None, {}),
    "a result that is too large": ("large", 2**20 + 1, {}),
    "an unknown name": ("nobody_registered_this", None, {}),
    "an interval": ("noop", None, {"interval": 3600}),
    "a failure with an interval": ("fail", "no", {"interval": 3600}),
    "progress": ("progress", {"values": [10, 20.5]}, {}),
    "a failure of a job with a notification": ("hooked", {"fail": True}, {}),
    "a job of its own": ("noop", None, {"force_spawn": True, "priority": 5, "queue": "other"}),
    "not due": ("noop", None, {"at": timedelta(hours=1)}),
    "a timeout that is not reached": ("noop", None, {"timeout": 30}),
    "a solo job": ("noop", None, {"solo": "testing"}),
    "another of its kind": ("sum", [1], {"solo": "testing"}),
    "a job that adds another": ("uses_scheduler", None, {}),
}


def told(scheduler: Scheduler, process: Process) -> dict[str, Any]:
    """What a user can see of a job, but for ids, times and places."""
    process.refresh()
    error = process.error or {}
    following = sorted(one.status for one in scheduler.get_jobs({"series": process.id, "_id": {"$ne": process.id}}))
    return {
        "status": process.status,
        "attempts": [(one["attempt"], one["status"], (one["error"] or {}).get("type")) for one in process.attempts],
        "error": (error.get("type"), "traceback" in error),
        "result": None if process.job == "uses_scheduler" else process.result_value,
        "progress": (process.progress, process.message),
        "following": following,
        # a worker does not always know its peak
        "fields": sorted(process.to_dict().keys() - {"wake", "pending", "cpu", "peak_memory"}),
    }


def add_all(scheduler: Scheduler, trace: str) -> dict[str, Process]:
    added = {}
    for name, (kind, data, options) in SCENARIOS.items():
        data = {**data, "trace": trace} if kind == "hooked" else data
        added[name] = scheduler.add_job(kind, data, options)
    return added


@pytest.fixture
def inline(scheduler: Scheduler) -> InlineNode:
    return InlineNode(scheduler)


def test_all_scenarios_end_as_on_a_node(
    server_uri: str, scheduler: Scheduler, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    with Scheduler(server_uri.format(f"{scheduler.store.database.name}_inline")) as other:
        try:
            here = add_all(other, str(tmp_path / "here"))
            InlineNode(other).run_until_idle()
            inline = {name: told(other, process) for name, process in here.items()}
        finally:
            other.store.drop()
    there = add_all(scheduler, str(tmp_path / "there"))
    start_node(unknown_timeout=0)

    def same() -> bool:
        return all(told(scheduler, process) == inline[name] for name, process in there.items())

    try:
        eventually(same, 30)
    except AssertionError:
        assert {name: told(scheduler, process) for name, process in there.items()} == inline
        raise
    eventually(lambda: len(traces(tmp_path / "there")) == 1)
    assert [words[1:] for words in traces(tmp_path / "here")] == [words[1:] for words in traces(tmp_path / "there")]


# -- time -------------------------------------------------------------------------------------------------------------


def test_time_is_advanced_for_what_is_queued(scheduler: Scheduler, inline: InlineNode) -> None:
    process = scheduler.add_job("flaky", 3, retry=5, retry_interval=60)
    assert [one.id for one in inline.run_due()] == [process.id]
    assert inline.run_due() == []
    inline.advance(59)
    assert inline.run_until_idle() == []
    inline.advance(timedelta(seconds=1))
    assert [one.status for one in inline.run_due()] == [Status.POSTPONED]
    inline.advance(60)
    inline.run_due()
    assert process.result(timeout=30) == 3
    assert len(process.attempts) == 3


def test_an_interval_goes_on_and_on(scheduler: Scheduler, inline: InlineNode) -> None:
    first = scheduler.add_job("noop", interval=3600)
    for _day in range(24):
        assert len(inline.run_due()) == 1
        inline.advance(3600)
    assert scheduler.counts()["noop"][Status.DONE] == 24
    scheduler.cancel_job(first.id)
    inline.advance(10 * 3600)
    assert inline.run_until_idle() == []


@pytest.mark.parametrize("seconds", ["60", None, -1, True])
def test_time_is_not_advanced_by_anything_else(inline: InlineNode, seconds: Any) -> None:
    with pytest.raises(InvalidOptionError, match="option seconds must be"):
        inline.advance(seconds)


# -- rounds -----------------------------------------------------------------------------------------------------------


def test_a_round_runs_each_job_once_by_priority(scheduler: Scheduler, inline: InlineNode) -> None:
    low = scheduler.add_job("fail", retry=-1, retry_interval=0)
    high = scheduler.add_job("noop", priority=1, queue="mail")
    assert [one.id for one in inline.run_due()] == [high.id, low.id]
    assert [one.id for one in inline.run_due()] == [low.id]


def test_jobs_that_go_on_for_ever_are_noticed(scheduler: Scheduler, inline: InlineNode) -> None:
    scheduler.add_job("noop", interval=-1)
    with pytest.raises(SchedulerError, match="jobs are still due after 11 attempts; do they go on for ever"):
        inline.run_until_idle(most=10)


def test_solo_jobs_run_one_after_the_other(scheduler: Scheduler, inline: InlineNode) -> None:
    added = [scheduler.add_job("noop", solo=True) for _ in range(3)]
    parked = [one.refresh().to_dict()["at"] for one in added[1:]]
    inline.advance(3600)
    assert [one.refresh().to_dict()["at"] for one in added[1:]] == parked
    assert [one.id for one in inline.run_due()] == [added[0].id]
    assert [one.id for one in inline.run_until_idle()] == [one.id for one in added[1:]]


def test_only_its_queues_are_served(scheduler: Scheduler) -> None:
    mail, _ = scheduler.add_job("noop", queue="mail"), scheduler.add_job("noop")
    assert [one.id for one in InlineNode(scheduler, queues=["mail"]).run_until_idle()] == [mail.id]


# -- what follows -----------------------------------------------------------------------------------------------------


class Noted(Job):
    name = "testing-noted"
    seen: list[tuple[Any, Status]] = []

    def start(self) -> None:
        self.update_progress(50, "half")
        process = self.scheduler.get_job(self.id)
        assert (process.progress, process.message, process.node) == (50.0, "half", "inline")

    def notification(self, status: Status, process: Process) -> None:
        self.seen.append((process.id, status))


def test_notifications_are_called_once_each(scheduler: Scheduler, inline: InlineNode) -> None:
    Noted.seen.clear()
    done, canceled = scheduler.add_job(Noted), scheduler.add_job(Noted, at=timedelta(hours=1))
    canceled.cancel()
    inline.run_until_idle()
    inline.run_due()
    assert done.refresh().status is Status.DONE, done.error
    assert sorted(Noted.seen) == sorted([(done.id, Status.DONE), (canceled.id, Status.CANCELED)])
    assert scheduler.store.outbox.undelivered([HOOK], 10) == []


def test_a_family_ends_together(scheduler: Scheduler, inline: InlineNode) -> None:
    parent = scheduler.add_job("noop", at=timedelta(hours=1))
    scheduler.add_job("fail", parent=parent.id)
    other = scheduler.add_job("noop", parent=parent.id, at=timedelta(hours=1))
    inline.run_until_idle()
    assert (parent.refresh().status, other.refresh().status) == (Status.FAILED, Status.CANCELED)


@job(name="testing-cancels-itself")
def cancels_itself(*, job: Job) -> int:
    job.scheduler.cancel_job(job.id)
    return 5


def test_a_job_that_is_canceled_while_it_runs_stays_so(scheduler: Scheduler, inline: InlineNode) -> None:
    process = scheduler.add_job(cancels_itself)
    assert [one.status for one in inline.run_due()] == [Status.CANCELED]
    assert process.refresh().result_value is None


@job(name="testing-slow")
def slow() -> None:
    until = time.monotonic() + 0.05
    while time.monotonic() < until:
        pass


def test_a_timeout_is_noticed_when_the_job_returns(scheduler: Scheduler, inline: InlineNode) -> None:
    process = scheduler.add_job(slow, timeout=0.01)
    inline.run_due()
    assert process.refresh().status is Status.TIMEOUT
    assert process.error == {"type": "JobTimeoutError", "message": "ran longer than 0.01 s"}


@job(name="testing-interrupted")
def interrupted() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_ends_the_program(scheduler: Scheduler, inline: InlineNode) -> None:
    process = scheduler.add_job(interrupted)
    with pytest.raises(KeyboardInterrupt):
        inline.run_due()
    assert process.refresh().status is Status.FAILED


def test_a_container_makes_the_instances(scheduler: Scheduler) -> None:
    class Container:
        def get(self, cls: type[Job]) -> Job:
            made = cls()
            made.greeting = "hello"  # type: ignore[attr-defined]
            return made

    class Greets(Job):
        name = "testing-greets"

        def start(self) -> Any:
            return self.greeting  # type: ignore[attr-defined]

    process = scheduler.add_job(Greets)
    InlineNode(scheduler, container=Container()).run_due()
    assert process.result(timeout=30) == "hello"


class LosesATask(Job):
    """A task that it has started ends by SystemExit."""

    name = "testing-loses-a-task"

    async def start(self) -> str:
        task = asyncio.ensure_future(self._exit())
        await asyncio.wait([task])
        return type(task.exception()).__name__

    async def _exit(self) -> None:
        raise SystemExit(3)


def test_a_task_of_an_async_job_that_exits_ends_neither_the_job_nor_the_test(scheduler: Scheduler) -> None:
    process = scheduler.add_job(LosesATask)
    InlineNode(scheduler).run_due()
    assert process.result(timeout=30) == "SystemExit"


def test_async_jobs_run_beside_the_event_loop_of_the_test(scheduler: Scheduler) -> None:
    async def body() -> list[Process]:
        return InlineNode(scheduler).run_due()

    process = scheduler.add_job(LosesATask)
    assert asyncio.run(body()) == [process]
    assert process.result(timeout=30) == "SystemExit"


class WaitsForAnother(Job):
    name = "testing-waits-for-another"

    async def start(self) -> None:
        other = await self.async_scheduler.add_job("noop", at=timedelta(hours=1))
        await other.cancel()
        await other


def test_the_scheduler_of_an_async_job_leaves_no_thread(scheduler: Scheduler) -> None:
    process = scheduler.add_job(WaitsForAnother)
    InlineNode(scheduler).run_due()
    assert process.refresh().status is Status.DONE
    assert not [one for one in threading.enumerate() if one.name.startswith(("taskscheduler-aio", "taskscheduler-end"))]


# -- services ---------------------------------------------------------------------------------------------------------


class Doubles(Service):
    name = "testing-doubles"

    def start(self) -> None:
        for number in self.messages():
            self.send(2 * number)


class DoublesAsync(Service):
    name = "testing-doubles-async"

    async def start(self) -> None:
        while not self.stopping:
            self.send(2 * self.receive(timeout=0, default=0))


class Waits(Service):
    name = "testing-waits"

    def start(self) -> None:
        assert self.wait(3600)
        assert self.wait()


@pytest.mark.parametrize("service", [Doubles, DoublesAsync])
def test_a_service_answers_what_was_sent_and_stops(
    scheduler: Scheduler, inline: InlineNode, service: type[Service]
) -> None:
    process = scheduler.start_service(service)
    for number in range(1, 4):
        scheduler.send(process, number)
    inline.run_due()
    while scheduler.receive(process, timeout=0) != 6:
        inline.advance(1)  # the pause before it is started again
        assert inline.run_due() == [process]
    assert process.refresh().status is Status.POSTPONED
    assert scheduler.stop_service(service.name).status is Status.CANCELED


def test_a_service_that_waits_is_asked_to_stop(scheduler: Scheduler, inline: InlineNode) -> None:
    process = scheduler.start_service(Waits, restart="on-failure")
    assert inline.run_until_idle() == [process]
    assert process.refresh().status is Status.DONE


# -- bad input --------------------------------------------------------------------------------------------------------


def test_what_could_run_nothing_in_silence_is_refused(scheduler: Scheduler, inline: InlineNode) -> None:
    with pytest.raises(InvalidOptionError, match="option queues must be a list of names, not 'mail'"):
        InlineNode(scheduler, queues="mail")
    with pytest.raises(InvalidOptionError, match="option queues must be a name of lowercase letters"):
        InlineNode(scheduler, queues=["Mail"])
    with pytest.raises(InvalidOptionError, match="an InlineNode needs a Scheduler, not AsyncScheduler"):
        InlineNode(AsyncScheduler(scheduler.store.database))  # type: ignore[arg-type]
    with pytest.raises(InvalidOptionError, match="option most must be"):
        inline.run_until_idle(most=0)


# -- as it is told ----------------------------------------------------------------------------------------------------


def test_the_example_in_the_docstring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a server of its own, and nothing is left on it."""

    class MailJob(Job):
        name = "testing-mail"

        def start(self) -> None:
            raise ConnectionError(self.data["to"])

    monkeypatch.setenv("TASKSCHEDULER_STATE_DIR", str(tmp_path))
    example = (taskscheduler.testing.__doc__ or "").split("def test_a_mail")[1].split("It runs the code")[0]
    names: dict[str, Any] = {"InlineNode": InlineNode, "MailJob": MailJob, "Status": Status}
    exec("def test_a_mail" + example.replace("\n    ", "\n"), names)  # noqa: S102
    with fresh_scheduler(job_retention=60) as scheduler:
        names["test_a_mail_is_tried_again_after_an_hour"](scheduler)
        client, name = scheduler.store.database.client, scheduler.store.database.name
        assert name in client.list_database_names()
        with fresh_scheduler() as other:
            assert other.store.database.name != name
