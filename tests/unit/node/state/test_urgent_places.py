"""How many urgent jobs a node claims although it has no room."""

from __future__ import annotations

from tests.support.tables import table
from tests.unit.node.fakes import FakeClock, attempt, lease

from taskscheduler_daemon.node.state.in_flight import InFlight
from taskscheduler_daemon.node.state.max_jobs import Budget
from taskscheduler_daemon.node.state.speed import Speed
from taskscheduler_daemon.node.state.urgent_places import UrgentPlaces


class Bench:
    """The places of a node whose jobs took so many seconds."""

    def __init__(self, seconds: float = 0.001, max_jobs: int = 0) -> None:
        self.in_flight, self.speed, self.clock = InFlight(), Speed(), FakeClock()
        if seconds:
            self.speed.learn(seconds)
        self.lease = lease(self.clock)
        self.places = UrgentPlaces(self.in_flight, self.lease, Budget(max_jobs), self.speed)


@table(
    ("seconds", "slots", "expected"),
    [
        (0.0, 2, 0),  # nothing is known yet
        (1.0, 2, 0),  # nothing is claimed ahead
        (0.02, 2, 2),
        (0.001, 2, 25),
        (0.00001, 2, 125),
        (0.02, 40, 40),
    ],
)
def test_there_are_as_many_places_as_slots_or_a_part_of_what_is_claimed_ahead(
    seconds: float, slots: int, expected: int
) -> None:
    assert Bench(seconds).places.free(slots) == expected


def test_a_place_is_taken_as_long_as_its_job_is_in_flight() -> None:
    bench, jobs = Bench(0.02), [attempt(), attempt(), attempt()]
    ids = [one.fence.job_id.binary for one in jobs]
    bench.places.take(ids[:2])
    assert bench.places.free(2) == 2, "others have got them"
    bench.in_flight.add(jobs)
    bench.places.take(ids[:2])
    assert bench.places.free(2) == 0
    bench.places.take(ids[2:])
    assert bench.places.free(4) == 1
    bench.in_flight.clear()
    assert bench.places.free(2) == 2


def test_beside_async_attempts_there_are_as_many_places_as_slots() -> None:
    bench, beside = Bench(), attempt()
    beside.is_async = True
    bench.in_flight.add([beside])
    assert bench.places.free(2) == 2


def test_there_is_none_without_a_lease_beside_a_suspect_or_near_the_end_of_the_budget() -> None:
    bench = Bench()
    bench.in_flight.closed = True
    assert bench.places.free(2) == 0
    bench.in_flight.closed = False
    bench.lease.renewed(bench.clock.seconds)
    bench.clock.seconds += 27.0
    assert bench.places.free(2) == 0
    assert [Bench(max_jobs=jobs).places.free(2) for jobs in (3999, 4000)] == [0, 25]
