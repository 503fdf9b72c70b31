"""Where a running job is: from Python, the command line, the web service and its page, in every state of a worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess
from tests.support.wandering import Stays, Wanders, wanders_async

from taskscheduler import (
    AsyncScheduler,
    InvalidStateError,
    JobNotFoundError,
    NoAnswerError,
    Process,
    Scheduler,
    Stack,
    Status,
)
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.web.api.stacks import StackRecord

StartNode = Callable[..., NodeProcess]
Places = Callable[..., Process]

Run = Callable[..., tuple[int, str, str]]

PATIENCE = 30.0  #: seconds


@pytest.fixture
def run(uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def node(start_node: StartNode) -> NodeProcess:
    return start_node(jobs=["tests.support.wandering"], max_children=2, async_jobs=10)


@pytest.fixture
def somewhere(scheduler: Scheduler, node: NodeProcess, tmp_path: Path) -> Places:
    """Adds a job, and returns it once it is somewhere."""
    trace = str(tmp_path / "trace")

    def place(job: Any = Wanders, **data: Any) -> Process:
        process = scheduler.add_job(job, {"trace": trace, **data})
        eventually(lambda: any(words[0] == process.id_text for words in traces(trace)), 30)
        return process

    return place


def functions(stack: Stack, thread: int = 0) -> list[str]:
    return [frame.function.rpartition(".")[2] for frame in stack.threads[thread].frames]


def test_it_says_where_a_job_is_from_everywhere(client: TestClient, run: Run, somewhere: Places) -> None:
    process = somewhere()
    stack = process.stack(PATIENCE)
    assert functions(stack) == ["start", "somewhere", "sleeps"], "nothing of the scheduler"
    assert stack.threads[0].frames[-1].code == "time.sleep(LONG)"
    assert (stack.job, stack.attempt, stack.frozen, stack.task) == (process.id, 1, False, None)
    assert {"thread beside", "main thread"} <= {thread.name for thread in stack.threads}
    code, said, _ = run("stack", process.id_text, "--timeout", "30s", "-o", "table")
    assert code == 0
    assert "a value that nobody sees" not in str(stack) + said
    assert said.splitlines()[0] == str(stack).splitlines()[0]
    printed = json.loads(run("stack", process.id_text, "--timeout", "30s", "-o", "json")[1])
    answer = client.get(f"/api/v1/jobs/{process.id}/stack?timeout=30")
    assert answer.status_code == 200
    assert answer.json()["threads"][0] == printed["threads"][0]
    TypeAdapter(StackRecord).validate_python(answer.json())
    assert f'href="/jobs/{process.id}/stack"' in client.get(f"/jobs/{process.id}").text
    page = client.get(f"/jobs/{process.id}/stack").text
    assert "in Wanders.sleeps" in page
    assert process.refresh().status is Status.PROCESSING


def test_a_job_that_is_frozen_in_c_code_answers_as_well(somewhere: Places) -> None:
    stack = somewhere(how="freezes").stack(PATIENCE)
    assert (stack.frozen, functions(stack)[-1]) == (True, "freezes")
    assert any(functions(stack, number)[-1:] == ["wait"] for number in range(1, len(stack.threads))), "all threads"


def test_a_job_that_refuses_is_left_alone(somewhere: Places) -> None:
    process = somewhere(how="refuses")
    with pytest.raises(InvalidStateError, match="has blocked or replaced the signals"):
        process.stack(PATIENCE)
    assert process.refresh().attempts[-1]["attempt"] == 1
    assert process.status is Status.PROCESSING


def test_the_question_breaks_into_nothing(scheduler: Scheduler, somewhere: Places) -> None:
    process = somewhere(how="counts")
    for _ in range(5):
        if process.refresh().status is Status.PROCESSING:
            try:
                process.stack(PATIENCE)
            except InvalidStateError:
                break  # it has ended
    assert process.wait(60).status is Status.DONE
    assert process.attempt == 1


def test_an_async_job_has_its_own_task(somewhere: Places, uri: str) -> None:
    first, second = (somewhere(wanders_async) for _ in range(2))
    for process in (first, second):
        task = process.stack(PATIENCE).task
        assert task is not None
        assert task.name == "task"
        assert [frame.function for frame in task.frames][-2:] == ["far_away", "sleep"]

    async def asked() -> Stack:
        async with AsyncScheduler(uri) as scheduler:
            return await (await scheduler.get_job(first.id)).stack(PATIENCE)

    assert asyncio.run(asked()).task == first.stack(PATIENCE).task


def test_a_service_is_asked_as_any_job(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.start_service(Stays)
    eventually(lambda: process.refresh().status is Status.PROCESSING, 30)

    def on_duty() -> bool:
        try:
            return "on_duty" in functions(process.stack(PATIENCE))
        except InvalidStateError:
            return False  # it has not begun yet

    eventually(on_duty, 30)


def test_who_cannot_answer_says_why(scheduler: Scheduler, client: TestClient, run: Run) -> None:
    with pytest.raises(JobNotFoundError):
        scheduler.inspect.stack(ObjectId())
    waiting = scheduler.add_job(Wanders)
    with pytest.raises(InvalidStateError, match=r"is waiting; only a job that runs has a stack"):
        waiting.stack()
    code, out, err = run("stack", waiting.id_text)
    assert (code, out, err.count("\n")) == (5, "", 1)
    assert client.get(f"/api/v1/jobs/{waiting.id}/stack").status_code == 409
    assert client.get(f"/api/v1/jobs/{waiting.id}/stack?timeout=0").status_code == 400
    assert client.get(f"/api/v1/jobs/{ObjectId()}/stack").status_code == 404
    with scheduler.track("a program") as record:
        program = scheduler.get_job(record.id)
        with pytest.raises(InvalidStateError, match=r"a program that no node runs: process \d+ on .*py-spy"):
            program.stack()


def test_a_node_that_is_silent_or_does_not_answer_is_named(scheduler: Scheduler, client: TestClient, run: Run) -> None:
    boot, job = ObjectId(), scheduler.add_job(Wanders)
    jobs = scheduler.store.database[scheduler.options.job_store]
    held = {"status": int(Status.PROCESSING), "claim": "c", "boot": boot, "node": "web-1", "attempt": 1}
    jobs.update_one({"_id": job.id}, {"$set": held})
    with pytest.raises(NoAnswerError, match=r"the node web-1 that runs job .* is gone"):
        job.stack()
    scheduler.store.nodes.register(boot, {"name": "web-1", "lease": 3600.0})
    with pytest.raises(NoAnswerError, match=r"no node has said within 0.3 s"):
        job.stack(0.3)
    assert run("stack", job.id_text, "--timeout", "0.2s")[0] == 124
    assert client.get(f"/api/v1/jobs/{job.id}/stack?timeout=0.2").status_code == 504
    scheduler.store.database["taskscheduler.nodes"].update_one({"_id": boot}, {"$set": {"lease": 0.001}})
    with pytest.raises(NoAnswerError, match=r"the node web-1 .* has been silent for \d+ s"):
        job.stack()
    assert scheduler.store.database["taskscheduler.controls"].count_documents({}) == 0, "nobody asks any more"
