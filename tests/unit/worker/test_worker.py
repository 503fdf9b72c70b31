"""The loop of a worker: one run after another, in this process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from tests.unit.worker.fakes import FakeClock, FakeManager, a_run, connected, fake_manager

from taskscheduler import Job, Process, Service
from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.jobs.executor import JobInterrupted
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler_daemon.ipc.begun_page import BegunPage
from taskscheduler_daemon.ipc.messages import Flag, Run, interrupt, ready
from taskscheduler_daemon.ipc.shared_page import SharedPage
from taskscheduler_daemon.system.exits import EXIT_OK
from taskscheduler_daemon.worker import worker as module
from taskscheduler_daemon.worker.worker import Worker


class Echo(Job):
    """Returns its data; `MemoryError` if they are a text."""

    name = "unit-worker-echo"

    def start(self) -> Any:
        if isinstance(self.data, str):
            raise MemoryError(self.data)
        return self.data


class AsyncEcho(Job):
    """The same in an event loop."""

    name = "unit-worker-async-echo"

    async def start(self) -> Any:
        return self.data


class Notified(Job):
    """Notes its notification; its data say whether that fails."""

    name = "unit-worker-notified"
    seen: list[tuple[Status, Any]] = []

    def start(self) -> None: ...

    def notification(self, status: Status, process: Process) -> None:
        self.seen.append((status, self.data))
        if self.data:
            raise ValueError(self.data)


class Serving(Service):
    """Ends when it is asked to."""

    name = "unit-worker-serving"
    worker: Worker

    def start(self) -> bool:
        self.worker._interrupt(signal.SIGTERM, None)
        return self.stopping


@pytest.fixture
def manager() -> Iterator[FakeManager]:
    with fake_manager() as manager:
        yield manager


@pytest.fixture
def worker(manager: FakeManager) -> Iterator[Worker]:
    worker = connected(manager)
    yield worker
    if worker._event_loop is not None:
        worker._event_loop.loop.close()


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a worker process all in this process: no signal handlers, no adopted orphans."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(module, "handle_but_not_in_forks", lambda *_: None)
    monkeypatch.setattr(module, "adopt_orphans", lambda: None)


@pytest.mark.usefixtures("calm")
def test_a_worker_is_ready_runs_all_that_it_gets_and_ends_when_its_socket_is_closed(manager: FakeManager) -> None:
    runs = [a_run(Echo.name, number) for number in range(3)]
    late = interrupt(ObjectId().binary, Status.CANCELED)  # of an async job that has ended
    manager.send(late, *(run.encode() for run in runs))
    manager.dismiss()
    assert Worker(ObjectId()).process_all(manager.worker_end, manager.page, 0.5, 1024) == EXIT_OK
    assert manager.received[0] == ready(0.5, REGISTRY.names())
    assert [(report.job_id, report.content()) for report in manager.reports] == [
        (run.job_id, {"result": number}) for number, run in enumerate(runs)
    ]


@pytest.mark.usefixtures("calm")
def test_a_worker_whose_memory_was_exhausted_ends_after_the_report(manager: FakeManager) -> None:
    failing, other = a_run(Echo.name, "no memory"), a_run(Echo.name, 1)
    manager.send(failing.encode(), other.encode())
    assert Worker(ObjectId()).process_all(manager.worker_end, manager.page, 0.5, 1024) == EXIT_OK
    assert [(report.job_id, report.ending) for report in manager.reports] == [(failing.job_id, Ending.FAILED)]


def test_a_run_that_is_late_is_handed_back_unstarted(manager: FakeManager) -> None:
    clock = FakeClock()
    worker = connected(manager, clock)
    runs = [a_run(Echo.name, 0), a_run(Echo.name, 1)._replace(start_by=clock.time + 5)]
    runs.append(a_run(Echo.name, 2)._replace(start_by=clock.time))
    for run in runs:
        worker._take(run)
    assert [report.ending for report in manager.reports] == [Ending.SUCCEEDED, Ending.SUCCEEDED, Ending.UNSTARTED]
    clock.time += 5
    worker._take(runs[1])
    worker._take(a_run(AsyncEcho.name, 3, Flag.ASYNC)._replace(start_by=clock.time))
    assert [report.ending for report in manager.reports[3:]] == [Ending.UNSTARTED, Ending.UNSTARTED]
    worker._async_loop().loop.close()


def test_a_worker_whose_manager_is_gone_ends(manager: FakeManager, worker: Worker) -> None:
    manager.end.close()
    with pytest.raises(JobInterrupted):
        worker._take(a_run(Echo.name))


def test_an_async_run_goes_to_the_event_loop_with_those_that_arrive_meanwhile(
    manager: FakeManager, worker: Worker
) -> None:
    first, second, ordinary = (
        a_run(AsyncEcho.name, 1, Flag.ASYNC),
        a_run(AsyncEcho.name, 2, Flag.ASYNC),
        a_run(Echo.name, 3),
    )
    manager.send(second.encode(), ordinary.encode())
    worker._take(first)
    manager.dismiss()
    while (message := worker._next()) is not None:  # what the loop had not read yet
        worker._take(Run.decode(message))
    assert sorted(report.content()["result"] for report in manager.reports) == [1, 2, 3]


def test_an_async_job_that_came_as_an_ordinary_one_is_marked(manager: FakeManager, worker: Worker) -> None:
    worker._take(a_run(AsyncEcho.name, 7))
    assert [report.content() for report in manager.reports] == [{"result": 7, "async": True}]


def test_a_notification_is_called_and_its_exception_only_logged(
    manager: FakeManager, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    Notified.seen.clear()
    for data in (None, "broken hook"):
        run = a_run(Notified.name, data, Flag.HOOK, status=Status.DONE)
        worker._take(run)
    assert Notified.seen == [(Status.DONE, None), (Status.DONE, "broken hook")]
    assert [report.ending for report in manager.reports] == [Ending.SUCCEEDED] * 2
    assert "broken hook" in caplog.text


def test_a_service_is_asked_to_stop_before_it_is_interrupted(manager: FakeManager, worker: Worker) -> None:
    Serving.worker = worker
    worker._take(a_run(Serving.name, None, Flag.SERVICE, service={}))
    assert manager.reports[0].content()["result"] is True
    with pytest.raises(JobInterrupted):
        worker._interrupt(signal.SIGTERM, None)


def test_an_idle_worker_is_interrupted(worker: Worker) -> None:
    with pytest.raises(JobInterrupted):
        worker._interrupt(signal.SIGTERM, None)


def test_orphans_are_reaped_when_there_is_nothing_to_do_or_after_a_hundred_jobs(
    manager: FakeManager, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bytes | None] = []
    reaped_after: list[int] = []
    monkeypatch.setattr(module, "reap_strangers", lambda: reaped_after.append(len(taken)))
    for _ in range(200):
        manager.send(a_run(Echo.name).encode())
        taken.append(worker._next())
    assert all(taken)
    assert reaped_after == [99, 199], "before the hundredth is returned"
    manager.dismiss()
    assert worker._next() is None
    assert reaped_after[2:] == [200]


# -- what it notes for those who outlive it ---------------------------------------------------------------------------


class Looks(Job):
    """Returns what its worker has noted while it runs."""

    name = "unit-worker-looks"
    page: SharedPage

    def start(self) -> list[int]:
        return sorted(attempt for _, attempt in self.page.row.begun() or ())


class AsyncLooks(Job):
    """The same in an event loop, once the others have had their turn."""

    name = "unit-worker-async-looks"
    page: SharedPage

    async def start(self) -> int:
        at_first = len(self.page.row.begun() or ())
        await asyncio.sleep(0.01)
        return at_first


@pytest.fixture
def noting() -> Iterator[FakeManager]:
    with fake_manager() as manager:
        manager.page = Looks.page = AsyncLooks.page = SharedPage(BegunPage(20).row(10))
        yield manager


def test_a_run_is_noted_from_its_first_line_until_its_report(noting: FakeManager) -> None:
    worker = connected(noting)
    for number in range(2):
        worker._take(a_run(Looks.name, number)._replace(attempt=5))
        assert noting.reports[-1].content() == {"result": [5]}
        assert noting.page.row.begun() == frozenset()


def test_async_runs_are_noted_when_it_is_their_turn_and_not_when_they_are_read(noting: FakeManager) -> None:
    worker = connected(noting)
    first, second, third = (a_run(AsyncLooks.name, number, Flag.ASYNC) for number in range(3))
    noting.send(second.encode(), third.encode())
    worker._take(first)
    assert sorted(report.content()["result"] for report in noting.reports) == [1, 2, 3]
    assert noting.page.row.begun() == frozenset()
    worker._take(a_run(AsyncLooks.name))  # one that came as an ordinary run
    assert noting.reports[-1].content()["result"] == 1
    assert noting.page.row.begun() == frozenset()
    assert worker._event_loop is not None
    worker._event_loop.loop.close()


def test_a_signal_is_noted_until_the_next_run(noting: FakeManager) -> None:
    worker, seen = connected(noting), [noting.page.signalled]
    with pytest.raises(JobInterrupted):
        worker._interrupt(signal.SIGTERM, None)
    seen.append(noting.page.signalled)
    worker._take(a_run(Echo.name))
    assert [*seen, noting.page.signalled] == [False, True, False]


@pytest.mark.parametrize("flags", [Flag.NONE, Flag.ASYNC])
def test_a_job_that_is_not_registered_is_reported_as_unknown(noting: FakeManager, flags: Flag) -> None:
    worker = connected(noting)
    worker._take(a_run("unit-worker-nobody", None, flags))
    (report,) = noting.reports
    assert report.ending is Ending.FAILED
    assert report.content()["unknown"] is True
    assert report.content()["error"]["type"] == "InvalidJobError"
    if worker._event_loop is not None:
        worker._event_loop.loop.close()
