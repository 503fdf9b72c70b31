"""Jobs called like functions: in the background, for their result, and as a batch; with asyncio as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from tests.support.calls import (
    Crop,
    CropAll,
    Mail,
    Picture,
    collected,
    colliding,
    hello,
    refusing,
    resize,
    widest,
    widest_async,
)
from tests.support.jobs import Noop, add_up
from tests.support.nodes import NodeProcess

from taskscheduler import (
    AsyncProcess,
    AsyncScheduler,
    InvalidArgumentsError,
    InvalidOptionError,
    JobFailedError,
    JobNotFoundError,
    Process,
    Scheduler,
    Status,
    WaitTimeoutError,
    call,
)
from taskscheduler.declarations.registry import REGISTRY

NAMES = ["Will", "Adam", "Morgan", "Alan", "Matt"]


@pytest.fixture(scope="module")
def served(server_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a database that one node serves for all tests of this module."""
    uri = server_uri.format(f"test_{ObjectId()}")
    node = NodeProcess(
        uri, tmp_path_factory.mktemp("node") / "calls.log", {"jobs": ["tests.support.jobs", "tests.support.calls"]}
    )
    try:
        node.wait_until_ready()
        yield uri
    finally:
        node.destroy()
        with MongoClient[dict[str, Any]](uri) as client:
            client.drop_database(client.get_default_database().name)


@pytest.fixture
def calls(served: str) -> Iterator[Scheduler]:
    with Scheduler(served) as scheduler:
        yield scheduler


def test_a_job_is_submitted_with_plain_arguments(calls: Scheduler) -> None:
    process = calls.submit(hello, "Jordan")
    assert process.status is Status.WAITING
    assert process.result(timeout=30) == "Hello Jordan"


def test_a_job_is_run_for_its_result(calls: Scheduler) -> None:
    assert calls.run(hello, "Danny") == "Hello Danny"
    assert calls.run(add_up, 1, b=2) == {"sum": 3, "attempt": 1}
    assert calls.run("sum", a=4) == {"sum": 4, "attempt": 1}
    assert calls.run(collected, 1, (2, 3), None) == {"args": [1, [2, 3], None], "named": {}}
    assert calls.run(resize, "a.png", mode="fill") == {"name": "a.png", "width": 100, "mode": "fill", "attempt": 1}
    assert calls.run(Mail, to="a@b.c") == {"to": "a@b.c"}


def test_arguments_may_have_the_names_of_options(calls: Scheduler) -> None:
    assert calls.run(colliding, self=1, options=2, retry=3, queue="x") == [1, 2, 3, "x"]
    process = calls.with_options(retry=1, queue="nobody").submit(colliding, self=1, options=2, retry=3, queue="x")
    assert (process.options["retry"], process.options["queue"]) == (1, "nobody")


def test_a_job_that_fails_raises_where_it_is_run(calls: Scheduler) -> None:
    with pytest.raises(JobFailedError, match="ValueError: not today"):
        calls.run(refusing, "not today")


def test_what_is_wrong_is_said_at_the_call_and_nothing_is_written(calls: Scheduler) -> None:
    before = calls.counts()
    with pytest.raises(InvalidArgumentsError, match="job hello does not take these arguments"):
        calls.submit(hello)  # type: ignore[call-overload]
    with pytest.raises(InvalidOptionError, match="option retry must be an integer"):
        calls.with_options(retry="often")
    with pytest.raises(InvalidOptionError, match="invalid option tries given"):
        calls.with_options(tries=1)
    with pytest.raises(InvalidOptionError, match="callback must be callable, not str"):
        calls.run_batch([call(hello, "x")], callback="print")  # type: ignore[arg-type]
    assert calls.counts() == before


def test_a_batch_is_true_when_all_did_well(calls: Scheduler) -> None:
    ended: list[str] = []
    steps: list[tuple[int, int]] = []
    assert calls.run_batch(
        [call(hello, name) for name in NAMES],
        callback=lambda process: ended.append(process.result_value),
        progress=lambda done, total: steps.append((done, total)),
        timeout=30,
    )
    assert sorted(ended) == sorted(f"Hello {name}" for name in NAMES)
    assert steps == [(done, 5) for done in range(1, 6)]


def test_a_batch_is_false_when_one_failed_and_the_others_still_run(calls: Scheduler) -> None:
    ended: dict[str, Status] = {}
    batch = [call(hello, "a"), call(refusing, "b"), (Noop, None, {"priority": 1}), Noop]

    def note(process: Process) -> None:
        ended[process.job] = process.status

    assert calls.with_options(timeout=20).run_batch(batch, note, timeout=30) is False
    assert ended == {"hello": Status.DONE, "refusing": Status.FAILED, "noop": Status.DONE}
    assert {process.options["timeout"] for process in calls.get_jobs({"class": "refusing"})} >= {20}


def test_an_empty_batch_is_true(calls: Scheduler) -> None:
    assert calls.run_batch([], callback=print)


def test_a_batch_that_takes_too_long_goes_on(calls: Scheduler) -> None:
    with pytest.raises(WaitTimeoutError, match=r"1 job has not ended within 0.2 seconds"):
        calls.with_options(at=4_000_000_000).run_batch([call(hello, "later")], timeout=0.2)
    assert calls.counts()["hello"][Status.POSTPONED] == 1
    calls.flush("hello")


@pytest.mark.parametrize("timeout", [0, -0.5, timedelta(seconds=-1)])
def test_a_wait_that_is_over_before_it_begins_says_so_everywhere(served: str, calls: Scheduler, timeout: Any) -> None:
    later = calls.with_options(at=4_000_000_000)
    before = calls.counts().get("hello", {}).get(Status.POSTPONED, 0)
    process = later.submit(hello, "later")
    waits: list[Callable[[], Any]] = [
        lambda: process.wait(timeout=timeout),
        lambda: process.result(timeout=timeout),
        lambda: calls.wait_for([process], timeout=timeout),
        lambda: later.run_batch([call(hello, "later")], timeout=timeout),
    ]
    for wait in waits:
        with pytest.raises(WaitTimeoutError):
            wait()
    assert calls.counts()["hello"][Status.POSTPONED] == before + 2  # the batch was added, and goes on

    async def main() -> None:
        async with AsyncScheduler(served) as twin:
            one = await twin.get_job(process.id)
            coroutines = [
                one.wait(timeout=timeout),
                one.result(timeout=timeout),
                twin.wait_for([one], timeout=timeout),
                twin.with_options(at=4_000_000_000).run_batch([call(hello, "later")], timeout=timeout),
            ]
            for waiting in coroutines:
                with pytest.raises(WaitTimeoutError):
                    await waiting

    asyncio.run(main())


def test_a_batch_of_which_a_job_is_deleted_ends(calls: Scheduler) -> None:
    def delete_other(process: Process) -> None:
        calls.delete_job(other)

    other = ObjectId()
    later = (Noop, None, {"at": 4_000_000_000, "id": other})
    with pytest.raises(JobNotFoundError):
        calls.run_batch([call(hello, "x"), later], delete_other, timeout=30)


def test_what_a_callback_raises_ends_the_wait(calls: Scheduler) -> None:
    def refuse(process: Process) -> None:
        raise KeyError(process.job)

    with pytest.raises(KeyError, match="hello"):
        calls.run_batch([call(hello, "x"), (Noop, None, {"at": 4_000_000_000})], refuse, timeout=30)


# -- declared arguments -----------------------------------------------------------------------------------------------


def test_data_that_a_job_does_not_take_are_refused_and_nothing_is_written(calls: Scheduler) -> None:
    before = calls.counts()
    for add in (calls.add_job, calls.add_job_once):
        with pytest.raises(InvalidArgumentsError, match="job resize: argument width must be int, not str"):
            add(resize, {"name": "a.png", "width": "100"})
    with pytest.raises(InvalidArgumentsError, match="job 1 of the batch: job calls-crop: argument name is missing"):
        calls.add_jobs([(Crop, {"name": "x"}), (Crop, {"width": 5})])
    with pytest.raises(InvalidArgumentsError, match="job resize: argument width must be int, not str"):
        calls.submit("resize", "a.png", "100")
    assert calls.counts() == before


def test_a_dataclass_arrives_as_one(calls: Scheduler) -> None:
    assert calls.run(Crop, Picture("a.png", 5)) == ["Picture", "a.png", 5]
    assert calls.run(Crop, name="b.png") == ["Picture", "b.png", 100]


def test_dataclasses_arrive_as_such_wherever_they_stand(calls: Scheduler) -> None:
    assert calls.run(CropAll, [Picture("a"), None, {"name": "b"}]) == ["Picture", "NoneType", "Picture"]
    assert calls.run(widest, Picture("a", 5), {"name": "b", "width": 6}) == "b"
    assert calls.run(widest, least=Picture("a")) == "a"
    assert calls.run(widest_async, {"x": Picture("a", 5), "y": Picture("b", 6)}) == "b"
    with pytest.raises(InvalidArgumentsError, match=r"job widest: argument pictures\.name must be str, not int"):
        calls.submit(widest, Picture("a"), {"name": 5})


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("resize", {"name": 1}, "job resize: argument name must be str, not int"),
        ("calls-crop", {"name": 1}, "job calls-crop: argument name must be str, not int"),
    ],
)
def test_a_worker_refuses_what_the_adder_could_not_know(
    calls: Scheduler, monkeypatch: pytest.MonkeyPatch, name: str, data: Any, what: str
) -> None:
    monkeypatch.delitem(REGISTRY._specs, name)
    process = calls.add_job(name, data).wait(timeout=30)
    assert process.status is Status.FAILED
    assert process.error is not None
    assert (process.error["type"], process.error["message"]) == ("InvalidArgumentsError", what)


def test_calls_with_asyncio(served: str) -> None:
    async def main() -> None:
        async with AsyncScheduler(served) as scheduler:
            assert await (await scheduler.submit(hello, "Jordan")).result(timeout=30) == "Hello Jordan"
            assert await scheduler.run(add_up, 1, b=2) == {"sum": 3, "attempt": 1}
            with pytest.raises(JobFailedError):
                await scheduler.with_options(retry=0).run(refusing, "no")
            ended: list[AsyncProcess] = []
            steps: list[int] = []

            async def note(process: AsyncProcess) -> None:
                ended.append(process)

            batch = [call(hello, "a"), call(refusing, "b")]
            assert await scheduler.run_batch(batch, note, lambda done, _: steps.append(done), 30) is False
            assert {process.status for process in ended} == {Status.DONE, Status.FAILED}
            assert steps == [1, 2]
            with pytest.raises(WaitTimeoutError):
                await scheduler.with_options(at=4_000_000_000).run_batch([Noop], timeout=0.1)

    asyncio.run(main())
