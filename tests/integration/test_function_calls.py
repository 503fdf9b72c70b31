"""`resize.options(retry=3).add("a.png")`: jobs added by their functions, and which scheduler they go to."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator

import pytest
from tests.support.calls import colliding, hands_on, hands_on_async, hello, resize
from tests.support.nodes import NodeProcess

from taskscheduler import (
    AsyncProcess,
    InvalidArgumentsError,
    InvalidOptionError,
    InvalidStateError,
    Job,
    JobFunction,
    Scheduler,
    default_scheduler,
    set_default_scheduler,
)
from taskscheduler.testing import InlineNode


@pytest.fixture
def default(scheduler: Scheduler) -> Iterator[Scheduler]:
    set_default_scheduler(scheduler)
    yield scheduler
    set_default_scheduler(None)


def test_a_function_adds_its_job_with_options(default: Scheduler) -> None:
    process = resize.options(queue="img", retry=3).add("a.png", width=9)
    stored = default.get_job(process.id)
    assert (stored.job, stored.to_dict()["queue"], stored.options["retry"]) == ("resize", "img", 3)
    assert stored.data == {"name": "a.png", "width": 9}
    assert default.get_job(hello.add("Will").id).data == ["Will"]
    assert default.get_job(colliding.add(self=1, options=2, retry=3, queue="x").id).options["retry"] == 0


def test_what_is_wrong_is_said_at_the_call_and_nothing_is_stored(default: Scheduler) -> None:
    with pytest.raises(InvalidOptionError, match="option retry must be an integer"):
        resize.options(retry="3")  # type: ignore[arg-type]
    with pytest.raises(InvalidOptionError, match="retries"):
        resize.options(retries=3)  # type: ignore[call-arg]
    with pytest.raises(InvalidArgumentsError, match="job resize does not take these arguments"):
        resize.options(retry=3).add(wide=3)  # type: ignore[call-arg]
    assert list(default.get_jobs({})) == []


def test_a_function_adds_its_job_in_an_event_loop(default: Scheduler) -> None:
    async def main() -> AsyncProcess[str]:
        first, second = await asyncio.gather(hello.add_async("Will"), hello.options(priority=2).add_async("Adam"))
        assert first.id != second.id
        return second

    assert default.get_job(asyncio.run(main()).id).to_dict()["priority"] == 2
    assert default.get_job(asyncio.run(main()).id).to_dict()["priority"] == 2, "another loop gets a twin of its own"


def test_event_loops_that_have_ended_are_not_kept(default: Scheduler) -> None:
    loops = []

    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await hello.add_async("Will")

    for _ in range(3):
        asyncio.run(main())
    gc.collect()
    assert len([one for one in loops if one() is not None]) <= 1


FORKED = """
import os, signal
from taskscheduler.jobs import default
default._DEFAULT._lock.acquire()  # as if a thread were in there just now
pid = os.fork()
if pid == 0:
    signal.alarm(10)
    default.default_scheduler()
    os._exit(0)
raise SystemExit(os.waitpid(pid, 0)[1])
"""


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)
    assert subprocess.run([sys.executable, "-c", FORKED], timeout=60).returncode == 0


@pytest.mark.parametrize("function", [hands_on, hands_on_async])
def test_a_job_on_a_node_adds_jobs_where_it_came_from(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess], function: JobFunction[[str], str]
) -> None:
    start_node(jobs=["tests.support.calls"])
    process = scheduler.submit(function, "Will")
    assert scheduler.get_job(process.result(timeout=30)).data == ["Will"]


@pytest.mark.parametrize("function", [hands_on, hands_on_async])
def test_a_job_of_an_inline_node_adds_jobs_where_it_came_from(
    scheduler: Scheduler, function: JobFunction[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKSCHEDULER_URI", "mongodb://127.0.0.1:1/nowhere")
    process = scheduler.submit(function, "Will")
    ran = InlineNode(scheduler).run_until_idle()
    assert [one.job for one in ran] == [process.job, "hello"]
    assert default_scheduler() is not scheduler, "only while its jobs run"


def test_the_default_scheduler_is_that_of_the_environment(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)
    set_default_scheduler(None)
    try:
        made = default_scheduler()
        assert made is default_scheduler()
        assert made.database.name == uri.rsplit("/", 1)[1].split("?")[0]
        made.close()
    finally:
        set_default_scheduler(None)


def test_the_default_scheduler_is_a_scheduler() -> None:
    with pytest.raises(InvalidOptionError, match="the default scheduler must be a Scheduler, not str"):
        set_default_scheduler("mongodb://host/app")  # type: ignore[arg-type]


def test_a_function_that_is_called_directly_has_no_running_job() -> None:
    with pytest.raises(InvalidStateError, match="no job runs here"):
        resize("a.png")

    class Stub(Job):
        attempt = 7

    assert resize("a.png", job=Stub.__new__(Stub))["attempt"] == 7
