"""When suspects run, and what waits for them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.node.fakes import attempt

from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.losses import NODE, WORKER
from taskscheduler_daemon.ipc.messages import Flag
from taskscheduler_daemon.node.dispatch.quarantine import (
    ALONE,
    CROWD,
    LONGEST_ALONE,
    MORE_AFTER,
    MOST_APART,
    MOST_WORKERS,
    PATIENCE,
    Quarantine,
    alone_for,
    next_alone,
)
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight

SOON = 0.05


class Scene:
    """A quarantine, the attempts in flight and a clock that only the test moves."""

    def __init__(self) -> None:
        self.in_flight = InFlight()
        self.under_test = Quarantine(self.in_flight)
        self.now = 1000.0
        self.handed_back: list[Attempt] = []

    def claim(self, *attempts: Attempt) -> list[Attempt]:
        """Returns those that are sent, at once or at the next look."""
        self.in_flight.add(attempts)
        return [*self.under_test.keep(list(attempts)), *self.look()]

    def look(self, later: float = 0.0) -> list[Attempt]:
        self.now += later
        found = self.under_test.review(self.now)
        for one in found.hand_back:
            assert self.in_flight.pop(one.fence.job_id.binary, one.fence.attempt) is one
        self.handed_back += found.hand_back
        return found.send

    def end(self, one: Attempt, ending: Ending | None = None) -> list[Attempt]:
        assert self.in_flight.pop(one.fence.job_id.binary, one.fence.attempt) is one
        one.ended_as = ending
        return self.look(SOON)


def suspect(of: str, times: int = 1, **facts: Any) -> Attempt:
    return attempt(suspect={"of": of, "times": times}, **facts)


def suspects(of: str, count: int) -> list[Attempt]:
    return [suspect(of) for _ in range(count)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_without_suspects_everything_is_sent_as_it_is(scene: Scene) -> None:
    attempts = [attempt(), attempt()]
    assert scene.under_test.keep(attempts) is attempts
    assert scene.under_test.is_empty


def test_suspects_of_a_worker_run_a_few_at_once_beside_the_others(scene: Scene) -> None:
    others, marked = [attempt(), attempt()], suspects(WORKER, MOST_APART + 2)
    sent = scene.claim(*marked, *others)
    assert sent == [*others, *reversed(marked[2:])], "the newest first"
    assert all(one.run().flags == Flag.FORCED for one in sent[2:]), "each in a worker of its own"
    assert [one.kept for one in marked] == [True, True, *[False] * MOST_APART]
    assert scene.end(sent[2]) == [marked[1]]
    assert not scene.in_flight.closed


def test_more_of_them_run_while_none_dies(scene: Scene) -> None:
    marked = suspects(WORKER, MOST_WORKERS)
    scene.claim(*marked)
    assert scene.look(MORE_AFTER - 0.1) == []
    assert [len(scene.look(MORE_AFTER)) for _ in range(2)] == [MOST_APART, 2 * MOST_APART]
    assert not any(one.kept for one in marked)
    scene.look()
    late = suspect(WORKER)
    assert scene.claim(late) == []
    assert scene.end(marked[0]) == []
    assert scene.look(2 * MORE_AFTER) == [late], "it begins again with a few"


def test_those_that_run_for_hours_do_not_keep_the_others_waiting(scene: Scene) -> None:
    """All can have run in the event loop of one worker."""
    again, marked = suspect(WORKER, times=2), suspects(WORKER, 500)
    scene.claim(again, *marked)
    assert sum(len(scene.look(MORE_AFTER)) for _ in range(9)) == MOST_WORKERS - MOST_APART
    assert scene.handed_back == []
    scene.look(ALONE - 9 * MORE_AFTER + 1)
    assert scene.handed_back == marked[: 500 - MOST_WORKERS]
    assert all(one.cleared for one in scene.handed_back)
    scene.look(ALONE)
    assert scene.handed_back[-1] is again


def test_once_one_has_died_alone_those_that_wait_are_none_any_more(scene: Scene) -> None:
    marked = suspects(WORKER, MOST_APART + 3)
    running = scene.claim(*marked)
    assert scene.end(running[1], Ending.SUSPECTED) == [marked[2]], "its manager died with others: that says nothing"
    assert scene.end(running[0], Ending.LOST) == []
    assert scene.handed_back == marked[:2]
    assert all(one.cleared for one in marked[:2])


def test_a_suspect_of_a_node_runs_when_nothing_else_does(scene: Scene) -> None:
    other, marked, later = attempt(), suspect(NODE), attempt()
    assert scene.claim(other) == [other]
    assert scene.claim(marked) == []
    assert scene.claim(later) == [], "else there would always be another one"
    assert scene.end(other) == [marked]
    assert scene.under_test.alone == [marked]
    assert marked.run().flags == Flag.NONE
    assert scene.end(marked) == [later]
    assert (scene.under_test.is_empty, scene.in_flight.closed) == (True, False)


def test_a_suspect_of_a_node_waits_until_a_worker_can_begin_it(scene: Scene) -> None:
    """Else a node that dies meanwhile would be charged to a job that had not begun."""
    scene.in_flight.can_begin = False
    marked = suspect(NODE)
    assert scene.claim(marked) == []
    assert scene.look(PATIENCE + 1) == []
    scene.in_flight.can_begin = True
    assert scene.look() == [marked]


def test_suspects_of_a_node_run_one_after_the_other(scene: Scene) -> None:
    first, second, third = suspects(NODE, 3)
    apart = suspect(WORKER)
    assert scene.claim(first, second, third, apart) == [third]
    assert scene.end(third) == [second]
    assert scene.end(second) == [first]
    assert scene.end(first) == [apart]


def test_of_a_crowd_of_suspects_a_part_runs_at_once(scene: Scene) -> None:
    crowd = suspects(NODE, 3 * CROWD)
    newest = list(reversed(crowd))
    assert scene.claim(*crowd) == newest[:3] == scene.under_test.alone
    assert scene.end(newest[1]) == scene.end(newest[0]) == []
    assert scene.end(newest[2]) == newest[3:5], "a part of those that are left"
    while running := scene.under_test.alone:
        for one in running:
            scene.end(one)
    assert (scene.under_test.is_empty, scene.handed_back) == (True, [])


def test_a_few_suspects_of_a_node_and_those_that_are_suspected_again_run_quite_alone() -> None:
    few = suspects(NODE, 2 * CROWD - 1)
    assert next_alone(few) == few[:1]
    again = [suspect(NODE, times=2) for _ in range(3 * CROWD)]
    assert next_alone(again) == again[:1]
    assert next_alone([*again[:2], *suspects(NODE, 4 * CROWD)]) != again[:1], "they wait until the first parts have run"


def test_thousands_of_suspects_take_few_turns() -> None:
    left, turns = suspects(NODE, 2000), 0
    while left:
        left, turns = left[len(next_alone(left)) :], turns + 1
    assert turns < 250


def test_others_go_back_to_the_queue_if_a_suspect_takes_long(scene: Scene) -> None:
    marked, other = suspect(NODE), attempt()
    assert scene.claim(marked, other) == [marked]
    assert not scene.in_flight.closed
    assert scene.look(1.0) == []
    assert (scene.handed_back, scene.in_flight.closed) == ([other], True), "other nodes may run them"
    scene.end(marked)
    assert not scene.in_flight.closed


def test_a_suspect_that_runs_on_gets_company(scene: Scene) -> None:
    marked = suspect(NODE)
    scene.claim(marked)
    scene.look(ALONE - 1)
    assert scene.in_flight.closed
    scene.look(2.0)
    assert (scene.in_flight.closed, scene.under_test.alone) == (False, [])
    other = attempt()
    assert scene.claim(other) == [other]


def test_the_time_alone_doubles_with_each_suspicion() -> None:
    assert [alone_for(suspect(NODE, times)) for times in (1, 2, 3, 100)] == [ALONE, 2 * ALONE, 4 * ALONE, LONGEST_ALONE]


def test_a_node_that_is_never_empty_runs_suspects_beside_the_others(scene: Scene) -> None:
    """A manager that dies again leaves nothing else to wait for."""
    long, marked = attempt(), suspects(NODE, 2)
    scene.claim(long)
    assert scene.claim(*marked) == []
    assert scene.look(PATIENCE - 1) == []
    assert scene.look(2.0) == [marked[1], marked[0]]
    assert not scene.in_flight.closed
    late = suspect(NODE)
    assert scene.claim(late) == [late], "nobody waits for an empty node so soon again"


def test_services_do_not_count_as_others(scene: Scene) -> None:
    service, marked = attempt(service={}), suspect(NODE)
    scene.claim(service)
    assert scene.claim(marked) == [marked]


def test_a_suspect_that_is_cancelled_while_it_waits_is_forgotten(scene: Scene) -> None:
    first, second = suspects(NODE, 2)
    assert scene.claim(first, second) == [second]
    assert scene.end(first) == []
    assert scene.end(second) == []
    assert scene.under_test.is_empty


def test_a_node_that_stops_gives_back_what_it_kept(scene: Scene) -> None:
    marked, other = suspects(NODE, 2), attempt()
    scene.claim(*marked, other)
    assert scene.under_test.empty() == [marked[0], other]
    assert scene.under_test.empty() == []
