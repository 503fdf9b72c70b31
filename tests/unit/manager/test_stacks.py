"""How a manager asks its workers where they are: once for all who ask, and never by a signal that would end one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.manager.fakes import FakeAssigner, FakeNode, Scenario, a_run, handles

from taskscheduler.clock import NEVER
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.manager import stacks
from taskscheduler_daemon.manager.stacks import StackRequests
from taskscheduler_daemon.system.stack_dump import ASK, INSIST, StackAnswers

FROZEN = b'Current thread 0x01 (most recent call first):\n  File "a.py", line 5 in start\n'
ONE, TWO = b"1" * 12, b"2" * 12


class NoTasks:
    def coroutines(self) -> dict[str, Any]:
        return {}


class Scene(Scenario):
    """A worker with a job, and the signals that it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.node, self.assigner = FakeNode(), FakeAssigner(self.pool)
        self.requests = StackRequests(self.pool, self.assigner, self.node)
        self.signals: list[int] = []
        [self.worker] = self.boot()
        self.run: Run = a_run()
        self.pool.began(self.worker, self.run, self.now)

    def ask(self, question: bytes = ONE, attempt: int = 1) -> None:
        self.requests.ask(self.run.job_id, attempt, question, self.now)

    def look(self, later: float) -> None:
        self.requests.look(self.now + later)

    @property
    def answers(self) -> dict[bytes, dict[str, Any]]:
        return dict(map(messages.stack_in, self.node.sent))

    @property
    def file(self) -> Any:
        return self.assigner.handles[self.worker.pid].page.stacks


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    scene = Scene()
    monkeypatch.setattr(stacks, "_send", lambda pid, number: scene.signals.append(number))
    with handles(scene.assigner, scene.worker):
        yield scene


def test_nobody_looks_while_nobody_asks(scene: Scene) -> None:
    assert scene.requests.look_at == NEVER


def test_all_who_ask_at_the_same_time_get_the_same_answer(scene: Scene) -> None:
    scene.ask(ONE)
    scene.ask(TWO)
    assert scene.signals == [ASK]
    scene.look(0.1)
    assert scene.answers == {}
    StackAnswers(scene.file, NoTasks())._answer(ASK, None)
    scene.look(0.2)
    assert set(scene.answers) == {ONE, TWO}
    assert scene.answers[ONE] == scene.answers[TWO]
    assert (scene.answers[ONE]["pid"], scene.answers[ONE]["frozen"]) == (scene.worker.pid, False)
    assert (scene.signals, scene.requests.look_at) == ([ASK], NEVER)


def test_who_does_not_answer_is_asked_in_another_way_and_heard_to_the_end(scene: Scene) -> None:
    scene.ask()
    scene.look(0.6)
    assert scene.signals == [ASK, INSIST]
    os.write(scene.file.fileno(), FROZEN[:20])
    scene.look(0.62)
    os.write(scene.file.fileno(), FROZEN[20:])
    scene.look(0.64)
    assert scene.answers == {}, "it still writes"
    scene.look(0.66)
    assert scene.answers[ONE]["frozen"] is True
    assert scene.answers[ONE]["threads"][0]["frames"] == [["a.py", 5, "start", ""]]


def test_who_never_answers_does_not_keep_anybody_waiting(scene: Scene) -> None:
    scene.ask()
    for later in (0.6, 4.9):
        scene.look(later)
    assert scene.answers == {}
    scene.look(5.1)
    assert "does not answer" in scene.answers[ONE]["error"]


def test_a_worker_that_ends_meanwhile_is_an_answer(scene: Scene) -> None:
    scene.ask()
    handle = scene.assigner.handles.pop(scene.worker.pid)
    scene.look(0.1)
    scene.assigner.handles[scene.worker.pid] = handle
    assert "has just ended" in scene.answers[ONE]["error"]


def test_another_attempt_and_a_job_that_no_worker_runs_are_answered_at_once(scene: Scene) -> None:
    scene.ask(attempt=2)
    scene.requests.ask(a_run().job_id, 1, TWO, scene.now)
    assert {"no worker runs it" in answer["error"] for answer in scene.answers.values()} == {True}
    assert (len(scene.answers), scene.signals) == (2, [])
