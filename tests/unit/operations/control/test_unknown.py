"""A job under controls that no node knows ends when it has waited long enough; one that a node may know does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from bson import ObjectId
from tests.support.tables import table

from taskscheduler.operations.control.unknown import end_unknown
from taskscheduler.store import Store

JOB = {"_id": ObjectId(), "class": "new", "queue": "mail", "blocked": "node:mail new", "limits": ["x"]}

UP = {"_id": ObjectId(), "silent": 0.0, "lease": 30.0}


class Stage:
    """A store with one parked job."""

    def __init__(self, nodes: list[dict[str, Any]], changed: bool = False) -> None:
        self.asked: list[tuple[str, float]] = []
        self.failed: list[str] = []
        self.admitted: list[ObjectId] = []
        self._changed = changed
        self.store = cast(
            Store,
            SimpleNamespace(
                blocked_jobs=SimpleNamespace(keys=lambda kind: [f"{kind}:mail new"], overdue=self._overdue),
                nodes=SimpleNamespace(all=lambda: nodes),
                invalid_jobs=SimpleNamespace(fail=self._fail),
                events=SimpleNamespace(append=lambda entries: None),
                outbox=SimpleNamespace(deliver=lambda job_id: None),
                admission=SimpleNamespace(ended=lambda job: self.admitted.append(job["_id"])),
            ),
        )

    def _overdue(self, key: str, seconds: float) -> list[dict[str, Any]]:
        self.asked.append((key, seconds))
        return [JOB]

    def _fail(self, job_id: ObjectId, error: dict[str, Any], held: dict[str, Any]) -> bool:
        self.failed.append(error["type"])
        return not self._changed


def test_it_fails_and_others_of_its_sequence_go_on() -> None:
    stage = Stage([{**UP, "jobs": ["old"]}])
    assert end_unknown(stage.store, 60.0) == 1
    assert stage.asked == [("node:mail new", 60.0)]
    assert (stage.failed, stage.admitted) == (["InvalidJobError"], [JOB["_id"]])


@table("nodes", [[], [UP], [{**UP, "jobs": ["new"]}], [{**UP, "jobs": ["old"], "queues": ["other"]}]])
def test_it_waits_while_a_node_may_know_it_or_none_serves_its_queue(nodes: list[dict[str, Any]]) -> None:
    stage = Stage(nodes)
    assert end_unknown(stage.store, 60.0) == 0
    assert stage.failed == []


def test_one_that_somebody_has_changed_meanwhile_is_left_alone() -> None:
    stage = Stage([{**UP, "jobs": ["old"]}], changed=True)
    assert end_unknown(stage.store, 60.0) == 0
    assert stage.admitted == []
