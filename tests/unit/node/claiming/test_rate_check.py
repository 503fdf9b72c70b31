"""As many claimed jobs begin as their rates allow; the others are put back into their lists."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import AutoReconnect
from tests.unit.node.fakes import FakeStore, attempt

from taskscheduler_daemon.node.claiming.rate_check import RateCheck
from taskscheduler_daemon.node.state.controls import ControlView
from taskscheduler_daemon.node.state.in_flight import Attempt


class Bench:
    """A check, and the rates that are set."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.view = ControlView(self.store.store)
        self.looks = 0
        self.check = RateCheck(self.store.store, self.view, self)

    def look_soon(self) -> None:
        self.looks += 1

    def set(self, name: str, free: int | None = None, **values: Any) -> None:
        self.store.controls.stored.append({"_id": f"limit:{name}", "name": name, "kind": "limit", **values})
        self.view.refresh()
        self.store.faults.calls.clear()
        if free is not None:
            self.store.rates.free[name] = free


@pytest.fixture
def bench() -> Bench:
    return Bench()


def under(*limits: str, count: int = 1) -> list[Attempt]:
    return [attempt(limits=list(limits)) for _ in range(count)]


def test_while_no_rate_is_set_nothing_is_asked(bench: Bench) -> None:
    bench.set("api", concurrency=1)
    attempts = [*under("api", count=3), attempt()]
    assert bench.check.permitted(attempts) == attempts
    assert bench.store.faults.calls == []


def test_of_other_jobs_nothing_is_asked(bench: Bench) -> None:
    bench.set("api", rate=1)
    bench.set("places", concurrency=1)
    attempts = [attempt(), *under("another"), attempt(solo="k"), *under("places"), attempt(limits=5)]
    assert bench.check.permitted(attempts) == attempts
    assert bench.store.faults.calls == []


def test_those_who_may_not_begin_wait_for_the_rate(bench: Bench) -> None:
    bench.set("api", 2, rate=1)
    attempts, other = under("api", count=5), attempt()
    assert bench.check.permitted([*attempts, other]) == [*attempts[:2], other]
    assert bench.store.admission.parked == {one.fence.job_id: "rate:api" for one in attempts[2:]}
    assert bench.store.faults.calls == ["rates.take", "rates.not_begun", "places.defer"], "however many they are"
    assert (bench.store.rates.taken, bench.store.rates.early) == ([("api", 5)], [("api", 3)])
    assert bench.looks == 1, "the rate is looked at when it allows the next one"


def test_if_all_may_begin_nothing_else_is_asked(bench: Bench) -> None:
    bench.set("api", 2, rate=1)
    attempts = under("api", count=2)
    assert bench.check.permitted(attempts) == attempts
    assert (bench.store.faults.calls, bench.looks) == (["rates.take"], 0)


def test_each_name_under_a_star_has_a_rate_of_its_own(bench: Bench) -> None:
    bench.set("tenant:*", rate=1)
    bench.store.rates.free |= {"tenant:a": 1, "tenant:b": 1}
    first, second = under("tenant:a", count=2), under("tenant:b", count=2)
    assert bench.check.permitted([*first, *second]) == [first[0], second[0]]
    assert list(bench.store.admission.parked.values()) == ["rate:tenant:a", "rate:tenant:b"]


def test_a_job_under_two_rates_takes_a_start_of_both_or_of_none(bench: Bench) -> None:
    bench.set("a", 3, rate=1)
    bench.set("b", 1, rate=1)
    both, only = under("a", "b", count=2), under("a")
    assert bench.check.permitted([*both, *only]) == [both[0], *only]
    assert bench.store.admission.parked == {both[1].fence.job_id: "rate:b"}
    assert bench.store.rates.free == {"a": 1, "b": 0}, "what the refused one did not need is given back"


def test_a_fault_of_the_database_is_told_so_that_the_claim_is_released(bench: Bench) -> None:
    bench.set("api", 1, rate=1)
    bench.store.faults.fail("rates.take", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        bench.check.permitted(under("api"))
