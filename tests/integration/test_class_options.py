"""Job options on classes and in decorators, in every way to add a job."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.jobs import Noop

from taskscheduler import AsyncScheduler, InvalidOptionError, Job, Process, Scheduler, Service, Status, call, job
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.cli import main

OPTIONS: dict[str, Any] = {"retry": 1, "retry_interval": 5, "queue": "declared", "priority": 3, "tags": ["a"]}


class Declared(Job):
    name, retry, retry_interval, queue, priority, tags = "class-options", 1, 5, "declared", 3, ("a",)

    def start(self) -> None:
        raise ValueError("once more")


@job(name="decorator-options", **OPTIONS)
def decorated() -> None:
    raise ValueError("once more")


@job(name="decorator-options-async", **OPTIONS)
async def decorated_async() -> None: ...


class Feed(Service):
    name, restart, stop_soft, queue = "class-options-feed", "on-failure", 2, "feeds"


class Once(Job):
    name, dedupe, ignore_data, interval = "class-options-once", True, True, 60


def declared_of(process: Any) -> list[Any]:
    found = process.to_dict()
    options = found["options"]
    return [options["retry"], options["retry_interval"], found["queue"], found["priority"], found["tags"]]


@pytest.mark.parametrize("what", [Declared, decorated, decorated_async, "class-options", "decorator-options"])
def test_every_way_to_add_a_job_takes_its_options(scheduler: Scheduler, what: Any) -> None:
    ways: list[Process] = [
        scheduler.add_job(what),
        *scheduler.add_jobs([what, (what, None, {})]),
        scheduler.add_job_once(what),
        scheduler.submit(what),
        scheduler.with_options(timeout=9).submit(what),
    ]
    assert [declared_of(one) for one in ways] == [[1, 5, "declared", 3, ["a"]]] * 6
    assert ways[5].options["timeout"] == 9
    assert declared_of(scheduler.with_options(retry=0, queue="other").submit(what)) == [0, 5, "other", 3, ["a"]]
    assert scheduler.add_jobs([(what, None, {"retry": 7})])[0].options["retry"] == 7


def test_the_asyncio_twin_takes_them_too(uri: str) -> None:
    async def add() -> list[Any]:
        async with AsyncScheduler(uri) as scheduler:
            return [declared_of(one) for one in [await scheduler.add_job(Declared), await scheduler.submit(decorated)]]

    assert asyncio.run(add()) == [[1, 5, "declared", 3, ["a"]]] * 2


def test_a_job_is_tried_again_as_its_class_says(scheduler: Scheduler) -> None:
    processes = [scheduler.add_job(Declared), scheduler.add_job(*call(decorated)), scheduler.add_job(Noop, 1, retry=0)]
    with InlineNode(scheduler) as node:
        node.run_until_idle()
        assert [one.refresh().status for one in processes[:2]] == [Status.POSTPONED] * 2
        node.advance(5)
        node.run_until_idle()
    assert [(one.refresh().status, len(one.attempts)) for one in processes[:2]] == [(Status.FAILED, 2)] * 2


def test_options_that_compare_jobs_may_stand_on_the_class(scheduler: Scheduler) -> None:
    kept = scheduler.add_job_once(Once, 4)
    assert kept.outcome == "created"
    assert "dedupe" not in kept.to_dict()  # queued jobs with this key would be taken for it
    again = scheduler.add_job_once(Once, 4)
    assert (again.id, again.outcome) == (kept.id, "existing")
    with pytest.raises(InvalidOptionError, match="option dedupe is for add_job"):
        scheduler.add_job_once(Once, 4, dedupe=True)
    first = scheduler.add_job(Once, 1)
    assert scheduler.add_job(Once, 2).id == first.id
    assert scheduler.add_job(Once, 2, ignore_data=False).id != first.id


def test_a_service_takes_the_options_of_its_class(scheduler: Scheduler) -> None:
    started = scheduler.start_service(Feed)
    found = started.to_dict()
    assert (found["service"]["restart"], found["service"]["stop_soft"], found["queue"]) == ("on-failure", 2, "feeds")
    assert scheduler.start_service(Feed).outcome == "existing"
    assert scheduler.start_service(Feed, restart="always").outcome == "replaced"


def test_a_program_that_does_not_know_the_class_gives_the_options_itself(
    scheduler: Scheduler,
    uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = "from taskscheduler import Job\nclass Far(Job):\n    name, retry, queue = 'class-options-far', 4, 'far'\n"
    (tmp_path / "far_jobs.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)
    found = []
    for extra in ([], ["--jobs", "far_jobs"], ["--jobs", "far_jobs", "--retry", "1"]):
        assert main(["add", "class-options-far", *extra, "-o", "id"]) == 0
        process = scheduler.get_job(capsys.readouterr().out.strip())
        found.append((process.options["retry"], process.to_dict()["queue"]))
    assert found == [(0, "default"), (4, "far"), (1, "far")]


def test_a_module_with_a_wrong_option_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrong_jobs.py").write_text("from taskscheduler import Job\nclass Wrong(Job):\n    retry = 'x'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main(["jobs", "--jobs", "wrong_jobs"]) == 2
    said = capsys.readouterr().err
    assert "the job class Wrong: option retry must be an integer" in said
    assert said.count("\n") == 1
