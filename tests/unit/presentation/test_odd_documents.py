"""Whatever stands in a stored job or node, all that shows it to people or programs has something to show."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

import pytest
from bson import ObjectId
from tests.support.odd_documents import IDS, JOBS, NODE, Change, changed, changes_of, stored
from tests.support.tables import rarely
from tests.support.web import FRAME

from taskscheduler.model import lenient
from taskscheduler.model.control.known import coverage
from taskscheduler.model.job_errors import error_for_status
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.nodes import grace_of, lease_of, sound_node, state_of
from taskscheduler.model.process_state import ProcessState
from taskscheduler.operations.stats import of_nodes
from taskscheduler.process import Process
from taskscheduler.store.change_events import changes
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler.store.overview import ClusterOverview, Server
from taskscheduler_daemon.cli import doctor_checks
from taskscheduler_daemon.cli.commands.jobs import list as list_command
from taskscheduler_daemon.cli.commands.jobs import show
from taskscheduler_daemon.cli.commands.kinds import service
from taskscheduler_daemon.cli.commands.nodes import status
from taskscheduler_daemon.cli.reading.cluster_status import ClusterStatus
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.maintenance.failure_detector import FailureDetector
from taskscheduler_daemon.presentation.job import record, row
from taskscheduler_daemon.presentation.node import node_record, node_row
from taskscheduler_daemon.presentation.text import json_line, json_pretty
from taskscheduler_daemon.web.http.answers import json_answer
from taskscheduler_daemon.web.jobqueue import tasks
from taskscheduler_daemon.web.pages import view_models
from taskscheduler_daemon.web.pages.jobs.views import job_page
from taskscheduler_daemon.web.pages.templates import page

NOW = datetime(2030, 1, 1, tzinfo=UTC)

SEED = int(os.environ.get("TASKSCHEDULER_FUZZ_SEED", "7"))

PART = int(os.environ.get("TASKSCHEDULER_FUZZ_PART", "40"))  #: one in so many of all odd jobs is tried; 1: all

PARTS = [PART, *rarely(4)]

GOOD = Process(cast(Any, None), {**JOBS["waiting"], "_id": ObjectId()})


@cache
def sample(part: int) -> list[tuple[str, Change]]:
    """The kind and the change of one in so many of all odd jobs, in any order and others with each seed."""
    every = [(kind, change) for kind, sound in JOBS.items() for change in changes_of(sound)]
    return random.Random(SEED).sample(every, len(every) // part)


def properties(job: Process) -> None:
    """Every property has the type that it declares, as far as that is a plain one."""
    for name, found in vars(ProcessState).items():
        if isinstance(found, property):
            getattr(job, name)
    assert isinstance(job.status, Status)
    assert isinstance(job.attempt, int)
    assert 0 <= job.progress <= 100
    assert all(isinstance(date, datetime | None) for date in (job.created, job.started, job.ended, job.alive, job.at))
    assert all(isinstance(text, str | None) for text in (job.node, job.worker, job.message))
    for attempt in job.attempts:
        assert isinstance(attempt["started"], datetime | None)
        assert isinstance(attempt["error"], dict | None)
    repr(job)


def in_lists(job: Process) -> None:
    row(job, NOW, with_queue=True)
    for order in list_command.ORDERS.values():
        sorted([job, GOOD], key=order)


def in_events(job: Process) -> None:
    document = job.to_dict()
    for kind in ("insert", "update"):
        event = {"operationType": kind, "documentKey": {"_id": job.id}, "fullDocument": document}
        for change in changes({**event, "updateDescription": {"updatedFields": document}}):
            assert isinstance(change.status, Status)


def as_task(job: Process) -> None:
    json_answer([tasks.task_of(job.to_dict())])
    for order in tasks.ORDERS:
        sorted([tasks._place(order, *tasks._task(one.to_dict())) for one in (job, GOOD)])


def in_show(job: Process) -> None:
    show._show(Settings(), job, NOW, [], None)


def on_pages(job: Process) -> None:
    more = {"children": [], "more_children": False, "why": None, "log": None, "message": ""}
    page(FRAME, "job.html", place="jobs", job=job_page(job, NOW), **more)
    for make in (view_models.job_row, view_models.service_row, view_models.program_row):
        make(job, NOW)


def as_json(job: Process) -> None:
    json_line(record(job))
    json_pretty(record(job))


#: each with the part of these that it is tried with, as some are slow
VIEWS: dict[str, tuple[Callable[[Process], Any], int]] = {
    "properties": (properties, 1),
    "lists": (in_lists, 1),
    "events": (in_events, 1),
    "errors": (error_for_status, 1),
    "services": (service._row, 1),
    "tasks": (as_task, 2),
    "json": (as_json, 2),
    "show": (in_show, 2),
    "pages": (on_pages, 5),
}


def failures(what: str, raw: bytes, views: Iterable[str]) -> list[tuple[str, str, str]]:
    """The views that cannot show a stored job: their names, what is odd, and the errors."""
    job, failed = Process(cast(Any, None), lenient.decode(raw)), []
    for view in views:
        try:
            VIEWS[view][0](job)
        except Exception as error:
            failed.append((view, what, repr(error)))
    return failed


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", JOBS)
def test_an_odd_job_is_shown(kind: str, part: int, capsys: pytest.CaptureFixture[str]) -> None:
    failed: list[tuple[str, str, str]] = []
    for number, (of, change) in enumerate(sample(part)):
        if of == kind:
            views = [view for view, (_, of_these) in VIEWS.items() if number * of_these < len(sample(part))]
            failed += failures(change.what, stored(change.of(JOBS[kind])), views)
    capsys.readouterr()
    assert failed == []


def test_a_job_with_an_odd_id_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    failed = [one for odd in IDS for one in failures(f"id {odd!r:.20}", stored(JOBS["done"], odd), VIEWS)]
    capsys.readouterr()
    assert failed == []


class Overview:
    """The part of an overview that `doctor` asks for nodes."""

    def __init__(self, node: dict[str, Any]) -> None:
        self._node = node

    def nodes(self) -> list[dict[str, Any]]:
        return [self._node]

    def backlogs(self) -> list[Backlog]:
        return [Backlog("default", 1, 1.0)]

    def live_class(self, after: str, but: Collection[str]) -> str | None:
        return None if after or "Mail" in but else "Mail"

    def waits_in(self, name: str) -> str | None:
        return "default"


def in_status(node: dict[str, Any]) -> None:
    server, counts = Server("6", "rs", "a", 0, 0), dict.fromkeys(Status, 0)
    running = {worker.get("job"): {"progress": "half"} for worker in node.get("workers", ())}
    cluster = ClusterStatus("db", server, [node], counts, [Backlog("default", 1, 1.0)], None, (), [], {}, running)
    status._draw(Settings(), cluster)
    status._rows(cluster)
    json_line(cluster.to_dict())


def to_other_nodes(node: dict[str, Any]) -> None:
    partition = Partition(ObjectId(), 30.0)
    partition.know([node], 0.0)
    partition.ours([{"_id": ObjectId(), "queue": "default"}], partition.look_at(1, ["default"]), True, 0.0)
    detector = FailureDetector(30.0)
    detector.lost([node], {node["_id"]}, 0.0)
    assert detector.lost([node], {node["_id"]}, 10.0**11) == [node["_id"]]
    assert lease_of(node) > 0 <= grace_of(node)
    state_of(node)
    coverage("Mail", "default", [{name: value for name, value in node.items() if name != "lost"}])


NODE_VIEWS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "status": in_status,
    "doctor": lambda node: list(doctor_checks._nodes(cast(ClusterOverview, Overview(node)))),
    "nodes command": lambda node: (node_row(node), json_line(node_record(node))),
    "pages": view_models.node_row,
    "statistics": lambda node: json_line(of_nodes([node])),
    "nodes": to_other_nodes,
}


@pytest.mark.parametrize("part", PARTS)
def test_an_odd_node_is_shown(part: int, capsys: pytest.CaptureFixture[str]) -> None:
    failed: list[tuple[str, str, str]] = []
    for what, document in [*changed({**NODE, "silent": 3.0})][:: max(1, part // 4)]:
        node = lenient.decode(stored(document))
        for view, show_it in NODE_VIEWS.items():
            try:
                show_it(sound_node(node))
            except Exception as error:
                failed.append((view, what, repr(error)))
    capsys.readouterr()
    assert failed == []
