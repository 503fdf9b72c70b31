"""One bad document of each kind among ten thousand good jobs on three nodes: no good job pays, no node falls."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database

from taskscheduler import Process, Scheduler, Status
from tests.integration.test_bad_documents import KINDS, damage, unharmed
from tests.integration.test_odd_documents import insert, insert_jobs, some
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess
from tests.support.odd_documents import IDS, JOBS, MESSAGES, NODE, stored

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

Documents = Database[dict[str, Any]]

GOOD = 10_000

#: a node that takes every document for a good one
BLIND = """
from taskscheduler_daemon.node.claiming import pipeline
pipeline.faults_of_claimed = lambda jobs: {}
"""


def mixed(scheduler: Scheduler, database: Documents, good: int) -> tuple[list[Process], dict[str, Process]]:
    """Good jobs, and among them, at random places, one bad job of each kind."""
    kinds = random.Random(1).sample(sorted(KINDS), len(KINDS))
    part = good // len(kinds) + 1
    sound, bad = list[Process](), dict[str, Process]()
    for kind in kinds:
        sound += scheduler.add_jobs([("noop", number) for number in range(part)])
        bad[kind] = scheduler.add_job("noop", {"x": 1})
        damage(database, bad[kind], KINDS[kind][1])
    return sound, bad


def check(database: Documents, sound: list[Process], bad: dict[str, Process], nodes: list[NodeProcess]) -> None:
    """Every good job is done by its first attempt, every bad one failed by its field, and no session has ended."""
    jobs = database["taskscheduler.jobs"]
    ids = [process.id for process in sound]
    live = {"_id": {"$in": [*ids, *(process.id for process in bad.values())]}, "status": {"$lt": Status.DONE}}
    eventually(lambda: jobs.count_documents(live) == 0, 120, "all ended")
    done = {"_id": {"$in": ids}, "status": Status.DONE, "attempt": 1, "lost": 0}
    assert jobs.count_documents(done) == len(ids)
    for kind, process in bad.items():
        stored_job = jobs.find_one({"_id": process.id}, {"status": 1, "error": 1})
        assert stored_job is not None
        assert stored_job["status"] == Status.FAILED, kind
        assert f"its field {KINDS[kind][0]} " in stored_job["error"]["message"], kind
    for node in nodes:
        unharmed(node)


def test_one_of_each_kind_among_ten_thousand(
    scheduler: Scheduler, database: Documents, start_node: Callable[..., NodeProcess]
) -> None:
    sound, bad = mixed(scheduler, database, GOOD)
    insert_jobs(database, 60)
    for odd_id in IDS:
        insert(database, "taskscheduler.jobs", stored({**JOBS["waiting"], "dedupe": f"{odd_id!r}"}, odd_id))
    for node in some(NODE, 100):
        insert(database, "taskscheduler.nodes", stored(node, ObjectId()))
    nodes = [start_node(orphaned_timeout=5, max_children=2) for _ in range(3)]
    for sound_message in MESSAGES.values():
        for message in some(sound_message, 60):
            insert(database, "taskscheduler.queue", stored(message))
    check(database, sound, bad, nodes)


def test_nodes_that_do_not_look_are_found_out(
    scheduler: Scheduler, database: Documents, start_node: Callable[..., NodeProcess]
) -> None:
    """The control: the same jobs on nodes that take every document for a good one."""
    _, bad = mixed(scheduler, database, len(KINDS) * 5)
    nodes = [start_node(prelude=BLIND, orphaned_timeout=5) for _ in range(3)]
    ids = [process.id for process in bad.values()]
    refused = {"_id": {"$in": ids}, "error.type": "InvalidDocumentError"}

    def has_failed() -> bool:
        logs = [node.log.read_text() for node in nodes]
        return any("Traceback" in log or log.count("node ready") > 1 for log in logs)

    eventually(has_failed, 60, "a node falls over a document")
    assert database["taskscheduler.jobs"].count_documents(refused) < len(bad)
