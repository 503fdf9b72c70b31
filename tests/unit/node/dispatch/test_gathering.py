"""When jobs that wait for others of their class run with them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.node.fakes import attempt

from taskscheduler.clock import NEVER
from taskscheduler_daemon.node.dispatch import gathering
from taskscheduler_daemon.node.dispatch.gathering import LONGEST_LOOK, Gatherings, Wanted
from taskscheduler_daemon.node.state.in_flight import Attempt

NOW = 100.0


def gatherer(size: int = 3, wait: float = 0.2, name: str = "mail", **fields: Any) -> Attempt:
    return attempt(batch={"size": size, "wait": wait}, **{"class": name, "queue": "default", **fields})


def gatherers(count: int, **fields: Any) -> list[Attempt]:
    return [gatherer(**fields) for _ in range(count)]


def test_a_batch_that_is_full_is_sent_at_once() -> None:
    gatherings, jobs = Gatherings(), gatherers(7)
    sent = gatherings.add(jobs, NOW)
    assert sent == jobs[:6]
    assert [one.batch is jobs[0].batch for one in sent] == [True] * 3 + [False] * 3
    assert [one.kept for one in jobs] == [False] * 6 + [True]
    assert gatherings.wanted() == [Wanted("mail", "default", 2)]


def test_one_that_is_not_full_waits_from_its_first_job_on_and_no_longer() -> None:
    gatherings, (first, second) = Gatherings(), gatherers(2)
    assert gatherings.add([first], NOW) == []
    gatherings.looked()
    assert gatherings.add([second], NOW + 0.15) == []
    assert gatherings.next_due() == NOW + 0.2
    assert gatherings.due(NOW + 0.19) == []
    assert gatherings.due(NOW + 0.2) == [first, second]
    assert (gatherings.next_due(), gatherings.wanted()) == (NEVER, [])


def test_before_that_the_claimer_looks_for_jobs_that_wait_already() -> None:
    gatherings, one = Gatherings(), gatherer(wait=0)
    gatherings.add([one], NOW)
    assert gatherings.due(NOW) == []
    gatherings.looked()
    assert gatherings.due(NOW) == [one]


def test_a_database_that_hesitates_does_not_hold_it_up_for_long() -> None:
    gatherings, one = Gatherings(), gatherer(wait=0.2)
    gatherings.add([one], NOW)
    assert gatherings.due(NOW + 0.2) == []
    assert gatherings.due(NOW + 0.2 + LONGEST_LOOK) == [one]


def test_classes_and_queues_gather_apart() -> None:
    gatherings = Gatherings()
    gatherings.add([gatherer(), gatherer(name="report"), gatherer(queue="other"), gatherer()], NOW)
    assert [(one.name, one.queue, one.missing) for one in gatherings.wanted()] == [
        ("mail", "default", 1),
        ("report", "default", 2),
        ("mail", "other", 2),
    ]


def test_a_batch_has_an_end_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    large = [gatherer(size=100, data="x" * 600) for _ in range(3)]
    huge = gatherer(size=100, data="x" * 5000)
    monkeypatch.setattr(gathering, "MOST_BYTES", 2 * len(large[0].raw) + 1)
    gatherings = Gatherings()
    assert gatherings.add(large, NOW) == large[:2]
    assert gatherings.add([huge], NOW) == [large[2], huge]
    assert large[2].batch is not huge.batch


def test_what_was_not_sent_is_handed_back() -> None:
    gatherings, jobs = Gatherings(), gatherers(2)
    gatherings.add(jobs, NOW)
    assert gatherings.empty() == jobs
    assert gatherings.due(NOW + 99) == []


def gathers(**fields: Any) -> bool:
    return attempt(**{"class": "mail", **fields}).gathers


def test_which_jobs_gather() -> None:
    options = {"batch": {"size": 5, "wait": 0}}
    assert gathers(**options)
    assert not gathers()
    assert not gathers(**options, options={"force_spawn": True})
    assert not gathers(**options, suspect={"of": "worker", "times": 1})


@pytest.mark.parametrize("batch", [5, None, {}, {"size": 0}, {"size": "x"}, {"size": True}, {"size": 5, "wait": -1}])
def test_a_field_that_makes_no_sense_means_nothing(batch: Any) -> None:
    assert not gathers(batch=batch)


def test_no_more_large_jobs_are_looked_for_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    large = [gatherer(size=100, data="x" * 600) for _ in range(2)]
    monkeypatch.setattr(gathering, "MOST_BYTES", 5 * len(large[0].raw))
    gatherings = Gatherings()
    gatherings.add(large, NOW)
    assert gatherings.wanted() == [Wanted("mail", "default", 3)]
