"""Each message of the manager reaches the part of the node that handles it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId
from tests.unit.node.fakes import WORKER, attempt, report

from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.messages import Kind
from taskscheduler_daemon.node.manager_messages import ManagerMessages
from taskscheduler_daemon.node.state.session_end import SessionEnd


class Bench:
    """Messages that have arrived, and what was called for them."""

    def __init__(self) -> None:
        self.arrived: list[bytes] = []
        self.calls: list[tuple[Any, ...]] = []
        self.pool_is_new = True
        self.messages = ManagerMessages(
            receiver=cast(Any, SimpleNamespace(receive=self._receive)),
            parts=cast(Any, SimpleNamespace(**self._parts())),
            heartbeat=self._part("beat_now"),
            announce=self._call("announce"),
        )

    def _parts(self) -> dict[str, Any]:
        return {
            "reports": self._part("all_ended", "progressed", "held", "item_ended", "gone"),
            "status": SimpleNamespace(
                pool_changed=self._pool_changed, known_changed=self._known_changed, worker_changed=self._call("worker")
            ),
            "capacity": SimpleNamespace(unknown=self._part("forget")),
            "claimer": self._part("look_everywhere"),
            "family_signs": self._part("ask"),
            "stacks": self._part("answered"),
        }

    def _receive(self, most_frames: int = 2) -> list[bytes]:
        taken, self.arrived = self.arrived[:most_frames], self.arrived[most_frames:]
        return taken

    def _call(self, name: str) -> Any:
        return lambda *given: self.calls.append((name, *given))

    def _part(self, *names: str) -> Any:
        return SimpleNamespace(**{name: self._call(name) for name in names})

    def _pool_changed(self, facts: dict[str, Any]) -> bool:
        self.calls.append(("pool", facts))
        return self.pool_is_new

    def _known_changed(self, names: list[str]) -> bool:
        self.calls.append(("known", names))
        return self.pool_is_new

    def handled(self, message: bytes) -> list[tuple[Any, ...]]:
        """What one message sets off."""
        self.arrived, self.calls = [message], []
        assert self.messages.receive()
        return self.calls


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_ends_progress_and_the_inventory_go_to_the_report_handler(bench: Bench) -> None:
    ended = report(attempt(), Ending.SUCCEEDED)
    assert bench.handled(ended.encode()) == [("all_ended", [ended])]
    said = ended._replace(kind=Kind.PROGRESS)
    assert bench.handled(said.encode()) == [("progressed", said)]
    job_id = ObjectId()
    held = messages.held([(job_id.binary, 2, WORKER.binary, 1.5)])
    assert bench.handled(held) == [("held", [messages.Held(job_id, 2, WORKER, 1.5)])]


def test_a_pool_that_has_changed_makes_room_and_is_registered_at_once(bench: Bench) -> None:
    facts = {"pm": "static", "slots": 2, "async_jobs": 0, "forced": 16}
    message = messages.notice(Kind.POOL, **facts)
    assert bench.handled(message) == [("pool", facts), ("look_everywhere",), ("beat_now",)]
    bench.pool_is_new = False
    assert bench.handled(message) == [("pool", facts)]


def test_a_worker_that_knows_other_jobs_makes_the_node_look_for_them(bench: Bench) -> None:
    message = messages.known_by(messages.ready(0.25, ["Mail"]))
    assert bench.handled(message) == [("known", ["Mail"]), ("forget",), ("look_everywhere",), ("beat_now",)]
    bench.pool_is_new = False
    assert bench.handled(message) == [("known", ["Mail"])]


def test_workers_are_announced_to_those_who_want_to_know(bench: Bench) -> None:
    facts = {"event": "worker_spawn", "worker": WORKER, "pid": 7}
    assert bench.handled(messages.notice(Kind.WORKER, **facts)) == [("worker", facts), ("announce", facts)]


def test_a_process_that_is_gone_frees_its_lock(bench: Bench) -> None:
    job_id = ObjectId()
    assert bench.handled(messages.gone(job_id.binary, 3)) == [("gone", job_id.binary, 3)]


def test_a_silent_job_has_its_children_looked_at(bench: Bench) -> None:
    job_id = ObjectId()
    assert bench.handled(messages.silent(job_id.binary, 3)) == [("ask", job_id.binary, 3)]


@pytest.mark.parametrize(("kind", "end"), [(Kind.BROKEN, SessionEnd.BROKEN), (Kind.STOPPED, SessionEnd.STOPPED)])
def test_a_manager_that_ends_ends_the_session(bench: Bench, kind: Kind, end: SessionEnd) -> None:
    assert bench.messages.end is None
    assert bench.handled(messages.notice(kind)) == []
    assert bench.messages.end is end


def test_reports_that_follow_each_other_are_handled_together_and_everything_in_its_order(bench: Bench) -> None:
    first, second, third = (report(attempt(), Ending.SUCCEEDED) for _ in range(3))
    gone = messages.gone(first.job_id, 1)
    bench.arrived = [first.encode(), second.encode(), gone, third.encode()]
    bench.messages.receive_all()
    assert bench.calls == [("all_ended", [first, second]), ("gone", first.job_id, 1), ("all_ended", [third])]


def test_what_a_manager_sent_before_it_ended_is_handled_completely(bench: Bench) -> None:
    many = [messages.gone(ObjectId().binary, 1) for _ in range(5)]
    bench.arrived = list(many)
    assert bench.messages.receive()
    assert len(bench.calls) == 2
    bench.messages.receive_all()
    assert len(bench.calls) == 5
    assert not bench.messages.receive()
