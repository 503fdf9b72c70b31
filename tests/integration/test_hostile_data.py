"""What users give is data: it is never evaluated and never names code, wherever it goes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson import DBRef, ObjectId
from pymongo.database import Database
from tests.support.eventually import eventually
from tests.support.hostile import TEXTS, VALUES, nested, same
from tests.support.jobs import traces
from tests.support.nodes import ROOT, NodeProcess

from taskscheduler import InvalidDataError, JobFailedError, Process, Scheduler, Status
from taskscheduler.model.payload import DEEPEST
from taskscheduler_daemon.cli import main

Documents = Database[dict[str, Any]]
JOBS = ["tests.support.jobs", "tests.support.hostile"]


@pytest.fixture
def node(start_node: Callable[..., NodeProcess]) -> NodeProcess:
    """A node whose own name looks like an expression."""
    return start_node(jobs=JOBS, name="$$NOW", max_lost=2)


def add_all(scheduler: Scheduler, job: str, **options: Any) -> dict[str, Process]:
    """One job for each hostile value."""
    batch = [(job, value, options) for value in VALUES.values()]
    return dict(zip(VALUES, scheduler.add_jobs(batch), strict=True))


def changed(found: dict[str, Any]) -> list[str]:
    """The names of the values that are not what they were."""
    return [name for name, value in found.items() if not same(value, VALUES[name])]


def stored(database: Documents, processes: dict[str, Process], field: str) -> dict[str, Any]:
    """A field of the stored documents, as any client sees it."""
    return {name: database_job(database, process.id).get(field) for name, process in processes.items()}


def database_job(database: Documents, job_id: ObjectId) -> dict[str, Any]:
    found = database["taskscheduler.jobs"].find_one({"_id": job_id})
    assert found is not None
    return found


def ended(processes: dict[str, Process], status: Status) -> None:
    """Wait until all have ended so."""
    next(iter(processes.values()))
    for name, process in processes.items():
        assert process.wait(60).status is status, (name, process.status, process.error)


# -- data and results -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("job", ["mirror", "mirror_hooked"])
def test_data_and_results_come_back_as_they_went_in(scheduler: Scheduler, node: NodeProcess, job: str) -> None:
    processes = add_all(scheduler, job)
    assert changed({name: process.data for name, process in processes.items()}) == []
    ended(processes, Status.DONE)
    assert changed({name: process.result_value for name, process in processes.items()}) == []
    assert changed({name: process.data for name, process in processes.items()}) == []
    assert {process.node for process in processes.values()} == {"$$NOW"}


def test_they_outlive_a_retry(scheduler: Scheduler, node: NodeProcess) -> None:
    """Which is written by a pipeline, where `$` has a meaning."""
    processes = add_all(scheduler, "mirror_second", retry=1, retry_interval=0)
    ended(processes, Status.DONE)
    assert changed({name: process.data for name, process in processes.items()}) == []
    assert changed({name: process.result_value for name, process in processes.items()}) == []
    first = [process.attempts[0] for process in processes.values()]
    assert {(one["error"]["type"], one["error"]["message"], one["node"]) for one in first} == {
        ("ValueError", "$$NOW", "$$NOW")
    }


def test_they_outlive_a_run_of_a_series_and_reach_the_next_one(scheduler: Scheduler, node: NodeProcess) -> None:
    processes = add_all(scheduler, "mirror", interval=3600)
    ended(processes, Status.DONE)
    assert changed({name: process.result_value for name, process in processes.items()}) == []

    def successors() -> dict[str, Process]:
        found = {process.series: process for process in scheduler.get_jobs() if process.status is Status.POSTPONED}
        return {name: found[process.id] for name, process in processes.items() if process.id in found}

    eventually(lambda: len(successors()) == len(VALUES), 30, "the next runs")
    assert changed({name: process.data for name, process in successors().items()}) == []


def test_they_outlive_a_worker_that_dies(scheduler: Scheduler, start_node: Callable[..., NodeProcess]) -> None:
    start_node(jobs=JOBS, name="$$NOW", max_lost=1, max_children=4)
    processes = add_all(scheduler, "os_exit")
    ended(processes, Status.FAILED)
    assert {process.error["type"] for process in processes.values() if process.error} == {"PoisonedJobError"}
    assert changed({name: process.data for name, process in processes.items()}) == []


def test_they_outlive_the_failure_of_a_family(scheduler: Scheduler, node: NodeProcess) -> None:
    parents = add_all(scheduler, "mirror", at=4_000_000_000, interval=60)
    children = {name: scheduler.add_job("breaks", VALUES[name], parent=parent.id) for name, parent in parents.items()}
    ended(children, Status.FAILED)
    ended(parents, Status.FAILED)
    assert {process.error["message"] for process in children.values() if process.error} == {"$$ROOT"}
    for processes in (children, parents):
        assert changed({name: process.data for name, process in processes.items()}) == []


def test_listeners_get_them_unchanged(scheduler: Scheduler, node: NodeProcess) -> None:
    heard: dict[ObjectId, Any] = {}
    token = scheduler.listen(lambda process: True, timeout=0.1)
    processes = add_all(scheduler, "mirror")
    ended(processes, Status.DONE)
    left = {process.id for process in processes.values()}

    def note(process: Process) -> bool:
        if process.status is Status.DONE:
            heard[process.id] = process.data
        return set(heard) == left

    scheduler.listen(note, {"class": "mirror"}, timeout=30, after=token)
    assert changed({name: heard[process.id] for name, process in processes.items()}) == []


def test_each_is_the_same_as_itself_only(scheduler: Scheduler, database: Documents) -> None:
    """For add_job_once, which looks for equal data: none is taken for a query that others match."""
    first = {name: scheduler.add_job_once("mirror", value) for name, value in VALUES.items()}
    assert {process.outcome for process in first.values()} == {"created"}
    second = {name: scheduler.add_job_once("mirror", value) for name, value in VALUES.items()}
    assert {process.outcome for process in second.values()} == {"existing"}
    assert {name: process.id for name, process in first.items()} == {name: p.id for name, p in second.items()}
    keyless = {name: scheduler.add_job("reflect", value) for name, value in VALUES.items()}
    third = {name: scheduler.add_job_once("reflect", value) for name, value in VALUES.items()}
    assert {name: process.id for name, process in third.items()} == {name: p.id for name, p in keyless.items()}
    assert database["taskscheduler.jobs"].count_documents({}) == 2 * len(VALUES)


def test_data_are_replaced_and_not_merged(scheduler: Scheduler) -> None:
    for value in VALUES.values():
        scheduler.add_job_once("mirror", value, ignore_data=True)
    assert len(list(scheduler.get_jobs({"status": Status.WAITING}))) == 1
    last = scheduler.get_jobs({"status": Status.WAITING})
    assert same(next(iter(last)).data, list(VALUES.values())[-1])


def test_a_reference_comes_back_as_what_the_driver_makes_of_it(scheduler: Scheduler, node: NodeProcess) -> None:
    data = {"$ref": "taskscheduler.jobs", "$id": 1}
    process = scheduler.add_job("mirror", data)
    assert process.result(20) == DBRef("taskscheduler.jobs", 1)
    assert scheduler.get_job(process.id).data == DBRef("taskscheduler.jobs", 1)


@pytest.mark.parametrize(
    "data",
    [
        2**63,
        -(2**63) - 1,
        {"a\0b": 1},
        {1: 2},
        {None: 1},
        nested(DEEPEST),
        nested(100_000),
        {"a": object()},
        "\ud800",
    ],
    ids=["huge", "small", "nul", "number", "none", "deep", "abyss", "object", "surrogate"],
)
def test_what_bson_cannot_hold_is_refused_before_anything_is_written(
    scheduler: Scheduler, database: Documents, data: Any
) -> None:
    for add in (scheduler.add_job, scheduler.add_job_once):
        with pytest.raises(InvalidDataError):
            add("mirror", data)
    with pytest.raises(InvalidDataError):
        scheduler.add_jobs([("mirror", 1), ("mirror", data)])
    assert database["taskscheduler.jobs"].count_documents({}) == 0


# -- what jobs say ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"retry": 1, "retry_interval": 0}, {"interval": 3600}], ids=str)
def test_errors_and_messages_are_stored_as_they_are(
    scheduler: Scheduler, node: NodeProcess, options: dict[str, Any]
) -> None:
    for fail in (False, True):
        said = [scheduler.add_job("says", {"text": text, "fail": fail}, options) for text in TEXTS]
        scheduler.wait_for(said, timeout=30)
        assert {process.status for process in said} == {Status.FAILED if fail else Status.DONE}
        assert [process.message for process in said] == list(TEXTS)
        if fail:
            assert [process.error["message"] for process in said if process.error] == list(TEXTS)
            with pytest.raises(JobFailedError):
                said[0].raise_for_status()
        if fail and "retry" in options:
            assert [process.attempts[0]["error"]["message"] for process in said] == list(TEXTS)


# -- code -------------------------------------------------------------------------------------------------------------


def test_a_name_from_the_database_imports_nothing(
    scheduler: Scheduler,
    start_node: Callable[..., NodeProcess],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even where it is the path of a job class that could be imported."""
    monkeypatch.setenv("TRAP", str(tmp_path / "trap"))
    start_node(jobs=JOBS, max_children=1, unknown_timeout=0)
    before = set(scheduler.add_job("modules").result(20))
    names = ["tests.support.trap.Trap", "tests.support.trap", "os.system", "subprocess.Popen", "builtins.eval"]
    names += ["__import__('os').system('true')", "$where", "$$NOW", "../../trap", "tests.support.hostile.Mirror.start"]
    for name in names:
        process = scheduler.add_job(name, {"path": "/"})
        assert process.wait(20).status is Status.FAILED
        assert process.error is not None
        assert process.error["type"] == "InvalidJobError"
        assert process.job == name
    after = set(scheduler.add_job("modules").result(20))
    assert not {name for name in after - before if name.startswith(("tests", "subprocess"))}
    assert traces(tmp_path / "trap") == []
    subprocess.run([sys.executable, "-c", "import tests.support.trap"], cwd=ROOT, check=True)  # it would have told
    assert len(traces(tmp_path / "trap")) == 1


def test_the_class_cannot_be_changed_to_code_by_data(scheduler: Scheduler, database: Documents) -> None:
    process = scheduler.add_job("mirror", {"class": "os.system", "$set": {"class": "os.system"}})
    assert database_job(database, process.id)["class"] == "mirror"


# -- the command line -------------------------------------------------------------------------------------------------


def test_the_command_adds_and_shows_operators_as_data(
    uri: str, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)
    data = {"$where": "sleep(1)", "at": "$$NOW", "a.b": {"$set": 1}, "": [{"$gt": ""}]}
    assert main(["add", "mirror", json.dumps(data)]) == 0
    job_id = capsys.readouterr().out.strip()
    assert scheduler.get_job(ObjectId(job_id)).data == data
    assert main(["show", job_id, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"] == data


def test_the_command_prints_nothing_that_steers_a_terminal(
    uri: str, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)
    process = scheduler.add_job("evil\x1b[2J\rname", {"\x1b]0;title\x07": "\x1b[31m"})
    for arguments in (["list"], ["list", "-o", "table"], ["show", str(process.id), "-o", "table"], ["status"]):
        assert main(arguments) == 0
        out = capsys.readouterr().out
        assert not [char for char in out if not char.isprintable() and char not in "\n\t"], arguments
