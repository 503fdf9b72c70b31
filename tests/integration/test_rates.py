"""Rates on a real server: never more starts than allowed, none lost, and what happens when a rate is changed."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple, cast

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from tests.support.eventually import eventually

from taskscheduler import Scheduler, Status
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.model.control.limits import Limit, stored_limit
from taskscheduler.model.options import RATES
from taskscheduler.operations.finish import follow_up
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import DONE
from taskscheduler.store.control import admission
from taskscheduler.store.control.admission import Admission
from taskscheduler.store.control.rate_lists import RateLists
from taskscheduler.store.control.rates import FED, STARTS, Granted, RateStore, _take_update
from taskscheduler.store.fence import Fence

Documents = Database[dict[str, Any]]

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)

LENIENT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

ROUNDING = Fraction(1, 500)  #: milliseconds by which the floating point numbers of the server may be off


class Take(NamedTuple):
    """A request for starts: milliseconds after the one before, and how many."""

    after: int
    starts: int


@pytest.fixture(scope="module")
def states(server_uri: str) -> Iterator[Collection[dict[str, Any]]]:
    """The collection of the rates of a database of its own."""
    client: MongoClient[dict[str, Any]] = MongoClient(server_uri.format(name := f"test_{ObjectId()}"))
    with client:
        yield client.get_default_database()[RATES]
        client.drop_database(name)


def at(now: datetime, expression: Any) -> Any:
    """The same expression, with this time as that of the server."""
    if isinstance(expression, dict):
        return {name: at(now, part) for name, part in expression.items()}
    if isinstance(expression, list):
        return [at(now, part) for part in expression]
    return {"$literal": now} if expression == "$$NOW" else expression


class Rate:
    """One rate whose server has the clock of the test."""

    def __init__(self, states: Collection[dict[str, Any]]) -> None:
        self.states, self.name, self.now = states, str(ObjectId()), 0

    def take(self, request: Take, every: float, burst: int) -> Granted:
        """What the server answers."""
        self.now += request.after
        change = at(NOON + timedelta(milliseconds=self.now), _take_update(STARTS, request.starts, every, burst))
        after = ReturnDocument.AFTER
        found: Any = self.states.find_one_and_update({"_id": self.name}, change, upsert=True, return_document=after)
        return Granted(int(found["granted"]), float(found["wait"]))

    def give_back(self, limit: Limit, count: int) -> None:
        RateStore(self.states.database).give_back(self.name, limit, count)


def allowed(starts: Sequence[tuple[int, int]], every: float, burst: int) -> Fraction:
    """How many more starts the rate allows at the time of the last of these (time, count)."""
    last = starts[-1][0]
    left = []
    for number, (moment, _) in enumerate(starts):
        used = sum(count for _, count in starts[number:])
        left.append(burst + Fraction(last - moment) / Fraction(every) - used)
    return min(left)


takes = st.lists(st.builds(Take, st.integers(0, 700), st.integers(1, 12)), min_size=1, max_size=15)

everies = st.one_of(st.sampled_from([1000 / 3, 100 / 7, 1.0, 60_000.0]), st.floats(1, 500))


@LENIENT
@given(takes, st.one_of(everies, st.floats(0.01, 1)), st.integers(1, 20))
def test_in_no_span_are_there_more_starts_than_allowed_and_none_is_withheld(
    states: Collection[dict[str, Any]], requests: list[Take], every: float, burst: int
) -> None:
    rate, starts = Rate(states), list[tuple[int, int]]()
    slack = ROUNDING / Fraction(every)
    for request in requests:
        granted = rate.take(request, every, burst)
        starts.append((rate.now, granted.starts))
        left = allowed(starts, every, burst)
        assert left >= -slack
        assert granted.starts == request.starts or left < 1 + slack
        if granted.starts < request.starts:
            assert granted.wait > 0


@LENIENT
@given(takes, everies, st.integers(1, 20))
def test_after_the_wait_that_was_told_the_next_start_is_allowed_and_not_before(
    states: Collection[dict[str, Any]], requests: list[Take], every: float, burst: int
) -> None:
    rate = Rate(states)
    *_, wait = (rate.take(request, every, burst).wait for request in requests)
    before, after = math.ceil(wait - ROUNDING) - 1, math.ceil(wait + ROUNDING)
    if before > 0:
        assert rate.take(Take(before, 1), every, burst).starts == 0
    assert rate.take(Take(after - max(before, 0), 1), every, burst).starts == 1


@LENIENT
@given(takes, takes, everies, everies, st.integers(1, 20), st.integers(1, 20))
def test_a_changed_rate_holds_from_then_on(
    states: Collection[dict[str, Any]],
    before: list[Take],
    after: list[Take],
    every: float,
    other: float,
    burst: int,
    most: int,
) -> None:
    rate, starts = Rate(states), list[tuple[int, int]]()
    for request in before:
        rate.take(request, every, burst)
    for request in after:
        granted = rate.take(request, other, most)
        starts.append((rate.now, granted.starts))
        assert allowed(starts, other, most) >= -ROUNDING / Fraction(other)
        assert granted.wait <= other + ROUNDING, "no wait of the rate before is left"


@LENIENT
@given(st.integers(1, 12), st.integers(0, 12), everies, st.integers(1, 20))
def test_what_is_given_back_at_once_was_never_taken(
    states: Collection[dict[str, Any]], count: int, back: int, every: float, burst: int
) -> None:
    rate = Rate(states)
    granted = rate.take(Take(0, count), every, burst).starts
    unused = min(back, granted)
    rate.give_back(Limit("api", rate=1000, per=every, burst=burst), unused)
    assert rate.take(Take(0, 100), every, burst).starts == burst - granted + unused


def test_what_is_given_back_late_makes_no_burst_longer(states: Collection[dict[str, Any]]) -> None:
    rate = Rate(states)
    rate.take(Take(0, 5), 100.0, 5)
    rate.now += 10_000
    rate.give_back(Limit("api", rate=10, burst=5), 5)
    assert rate.take(Take(0, 100), 100.0, 5).starts == 5


def test_a_job_that_came_too_early_costs_no_start_and_the_next_is_let_out_when_it_may_begin(
    states: Collection[dict[str, Any]],
) -> None:
    rates, limit = RateStore(states.database), Limit("api", rate=10, burst=1)
    name = str(ObjectId())
    later = datetime.now(UTC).timestamp() * 1000 + 60_000
    for fed, tat, expected in ((later + 500, later, later + 300), (later + 100, later, later), (0, later, later)):
        states.replace_one({"_id": name}, {FED: fed, STARTS: tat}, upsert=True)
        rates.not_begun(name, limit, 2)
        found: Any = states.find_one({"_id": name})
        assert (found[FED], found[STARTS]) == (pytest.approx(expected), tat)


@pytest.mark.parametrize("odd", ["soon", None, NOON, [1], {"a": 1}, float("nan"), -1e300, 1e300, True])
def test_a_state_that_somebody_has_broken_stops_no_job_for_long(states: Collection[dict[str, Any]], odd: Any) -> None:
    rate = Rate(states)
    states.insert_one({"_id": rate.name, STARTS: odd, FED: odd, "granted": odd, "wait": odd})
    assert rate.take(Take(0, 1), 100.0, 1).wait <= 100
    assert rate.take(Take(100, 1), 100.0, 1).starts == 1


def test_many_takers_at_once_get_as_many_starts_as_one_would(scheduler: Scheduler) -> None:
    rates, limit = scheduler.store.rates, Limit("api", rate=200, burst=10)
    taken, waits, most = list[int](), list[float](), 60
    began = SYSTEM_CLOCK.monotonic()

    def take() -> None:
        while sum(taken) < most:
            granted = rates.take("api", limit, 3)
            taken.append(granted.starts)
            waits.append(granted.wait)

    takers = [threading.Thread(target=take) for _ in range(4)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    lasted = SYSTEM_CLOCK.monotonic() - began
    assert most <= sum(taken) <= 10 + lasted * 200 + 1
    assert max(waits) <= 0.005 + 1e-6


def test_the_two_counters_of_a_name_and_two_names_do_not_know_each_other(scheduler: Scheduler) -> None:
    rates, limit = scheduler.store.rates, Limit("api:*", rate=1, per=3600)
    assert rates.take("api:a", limit, 5).starts == 1
    assert rates.take("api:a", limit, 5, FED).starts == 1
    assert rates.take("api:b", limit, 5).starts == 1
    refused = rates.take("api:a", limit, 1)
    assert refused.starts == 0
    assert refused.wait == pytest.approx(3600, abs=30)
    assert rates.wait("api:a", limit) == pytest.approx(refused.wait, abs=30)
    assert rates.wait("api:c", limit) == 0


def test_of_many_that_let_in_the_same_jobs_none_uses_up_starts_for_nothing(scheduler: Scheduler) -> None:
    store, looking = scheduler.store, threading.Barrier(6)
    limit = scheduler.limits.set("api", rate=1, per=3600, burst=100)
    store.rates.take("api", limit, 100, FED)
    scheduler.add_jobs([("noop", None, {"limits": "api"})] * 60)
    store.rates.give_back("api", limit, 100, FED)

    def let_in() -> None:
        looking.wait()
        store.admission.admit_next(["rate:api"])

    lookers = [threading.Thread(target=let_in) for _ in range(looking.parties)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()
    while store.sweeps.admit_rates() is not None:
        pass  # who has found nothing to change looks again later
    assert store.jobs.collection.count_documents({"gate": {"$exists": True}}) == 60
    assert store.rates.take("api", limit, 100, FED).starts == 40


def lists(scheduler: Scheduler) -> list[str]:
    return [job["blocked"] for job in scheduler.store.jobs.collection.find({"blocked": {"$exists": True}})]


def test_starts_that_are_given_back_are_used_soon_by_those_who_found_none(scheduler: Scheduler) -> None:
    store = scheduler.store
    scheduler.limits.set("api", rate=1, per=3600, burst=20)
    rooms = store.rooms.begin()
    assert rooms.of("rate:api") == 20, "all that there are"
    scheduler.add_jobs([("noop", None, {"limits": "api"})] * 5)
    wait = store.admission.rate_lists.wait()
    assert wait is not None
    assert wait > 60, "another pass has them"
    store.admission._end(rooms)
    eventually(lambda: store.sweeps.admit_rates() is None and admitted(scheduler) == 5, 10, "they are used")


def test_starts_that_are_given_back_while_another_pass_finds_none_are_used_soon(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That pass notes when it looks again only after they were given back."""
    store, heads = scheduler.store, Admission._heads
    scheduler.limits.set("api", rate=1, per=3600, burst=20)
    other = store.rooms.begin()
    assert other.of("rate:api") == 20, "all that there are"
    scheduler.add_jobs([("noop", None, {"limits": "api"})] * 5)

    def found_too_early(self: Admission, key: str, rooms: Any) -> list[Any]:
        found = heads(self, key, rooms)
        self._end(other)
        return found

    monkeypatch.setattr(Admission, "_heads", found_too_early)
    store.admission.admit_next(["rate:api"])
    monkeypatch.undo()
    wait = store.admission.rate_lists.wait()
    assert wait is not None
    assert wait < 1
    eventually(lambda: store.sweeps.admit_rates() is None and admitted(scheduler) == 5, 10, "they are used")


def test_new_jobs_wait_in_the_list_of_their_rate_if_nothing_else_keeps_them_back(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the list of a limit each would have to be moved."""
    scheduler.limits.set("api", rate=1, per=3600)
    scheduler.limits.set("both", rate=1, per=3600, concurrency=1)
    monkeypatch.setattr(scheduler.store.admission, "admit_next", lambda keys: None)
    scheduler.add_job("noop", limits="api")
    scheduler.add_jobs([("noop", None, {"limits": limits}) for limits in ("api", ["api", "both"], "both", "free")])
    assert lists(scheduler) == ["rate:api", "rate:api", "rate:api", "limit:both", "limit:free"]


def test_nodes_hear_of_new_jobs_that_wait_for_a_rate(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else they would find the list with the next sweep."""
    told = list[bool]()
    monkeypatch.setattr(scheduler.store.wakeups, "rates_awaited", lambda: told.append(True))
    scheduler.limits.set("api", rate=1, per=3600)
    scheduler.add_job("noop", limits="free")
    assert told == []
    scheduler.add_jobs([("noop", None, {"limits": "api"})] * 2)
    assert told == [True]


def test_the_end_of_a_job_lets_no_other_in_whose_limit_only_keeps_a_rate(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler.limits.set("api", rate=1000, burst=1000)
    scheduler.limits.set("both", rate=1000, burst=1000, concurrency=1)
    looked = list[list[str]]()
    for limits in ("api", "both", ["api", "both"]):
        job = scheduler.add_job("noop", limits=limits)
        monkeypatch.setattr(scheduler.store.admission, "admit_next", lambda keys: looked.append(list(keys)))
        job.cancel()
        monkeypatch.undo()
    assert looked == [[], ["limit:both"], ["limit:both"]]


def test_so_it_is_with_the_ends_that_a_node_writes(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler.limits.set("api", rate=1000, burst=1000)
    scheduler.limits.set("both", rate=1000, burst=1000, concurrency=1)
    looked = list[list[str]]()
    monkeypatch.setattr(scheduler.store.admission, "admit_next", lambda keys: looked.append(sorted(keys)))
    fence = Fence(ObjectId(), "claim", 1)
    for keys in (("limit:api",), ("limit:api", "limit:both")):
        end = Completion(fence, DONE, "worker", keys=keys)
        follow_up(scheduler.store, [end], "node", cast(Any, None))
    assert looked == [[], ["limit:both"]]


@pytest.mark.parametrize(("burst", "left"), [(1, 0.0), (6, 0.025)])
def test_a_list_is_left_until_some_starts_are_free_as_far_as_the_burst_keeps_them(
    scheduler: Scheduler, burst: int, left: float
) -> None:
    scheduler.limits.set("api", rate=100, burst=burst)
    rooms = scheduler.store.rooms.begin()
    while rooms.of("rate:api") > 0:
        rooms.enter({"_id": ObjectId(), "limits": ["api"]})
    next_start, look_at, now = rooms.wait, rooms.next_start("rate:api"), SYSTEM_CLOCK.monotonic()
    rooms.end()
    assert next_start is not None
    assert look_at is not None
    assert look_at - now - next_start == pytest.approx(left, abs=0.005)


def admitted(scheduler: Scheduler) -> int:
    return scheduler.store.jobs.collection.count_documents({"status": int(Status.WAITING)})


def test_a_pass_over_many_jobs_uses_the_starts_that_become_free_meanwhile(scheduler: Scheduler) -> None:
    scheduler.limits.set("api", rate=0.5, burst=3)
    rooms = scheduler.store.rooms.begin()
    while rooms.of("rate:api") > 0:
        rooms.enter({"_id": ObjectId(), "limits": ["api"]})
    assert rooms.next_start("rate:api") is not None
    eventually(lambda: rooms.of("rate:api") > 0, 10, "the next start is free")
    rooms.end()


def test_while_jobs_move_to_the_list_of_their_rate_none_of_its_starts_is_lost(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the rate allows one start more whenever jobs have moved."""
    monkeypatch.setattr(admission, "_PATIENCE", 60.0)
    limit, most = Limit("api", rate=1), 0
    scheduler.limits.set("api", concurrency=0)
    scheduler.add_jobs([("noop", None, {"limits": "api"})] * 1000)
    scheduler.store.controls.put(limit.key, stored_limit(limit))

    def take(*_: Any) -> Granted:
        nonlocal most
        before, most = most, scheduler.store.jobs.collection.count_documents({"blocked": "rate:api"})
        return Granted(int(most > before), 0.001)

    monkeypatch.setattr(scheduler.store.rates, "take", take)
    scheduler.store.admission.admit_next(["limit:api"])
    assert admitted(scheduler) >= 4


@pytest.fixture
def asked(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the rates of which starts were asked for."""
    names, take = list[str](), scheduler.store.rates.take

    def noted(name: str, *given: Any) -> Granted:
        names.append(name)
        return take(name, *given)

    monkeypatch.setattr(scheduler.store.rates, "take", noted)
    return names


def test_of_many_rates_only_those_are_looked_at_that_allow_a_start(
    scheduler: Scheduler, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_PATIENCE", 60.0)
    scheduler.limits.set("tenant:*", rate=1, per=3600)
    scheduler.limits.set("tenant:7", rate=1, per=0.5)
    asked.clear()
    scheduler.add_jobs([("noop", None, {"limits": f"tenant:{number % 20}"}) for number in range(60)])
    lists, sweeps = scheduler.store.admission.rate_lists, scheduler.store.sweeps
    lists.find()
    sweeps.admit_rates()
    assert len(set(asked)) == 20
    asked.clear()
    eventually(lambda: sweeps.admit_rates() is not None and admitted(scheduler) == 22, 10)
    assert set(asked) <= {"tenant:7"}
    lists.find()
    sweeps.admit_rates()
    assert set(asked) <= {"tenant:7"}, "it is known when the others are due"


def test_when_a_rate_was_changed_the_time_of_its_next_start_is_asked_for_again(
    scheduler: Scheduler, asked: list[str]
) -> None:
    scheduler.limits.set("api", rate=1, per=3600)
    scheduler.add_jobs([("noop", None, {"limits": "api"})] * 3)
    lists, sweeps = scheduler.store.admission.rate_lists, scheduler.store.sweeps
    assert sweeps.admit_rates() == pytest.approx(3600, abs=60)
    limit = Limit("api", rate=1000, burst=10)
    scheduler.store.controls.put(limit.key, stored_limit(limit))
    asked.clear()
    sweeps.admit_rates()
    assert asked == []
    lists.look_at_all()
    eventually(lambda: sweeps.admit_rates() is None, 10, "no job waits any more")
    assert admitted(scheduler) == 3


def test_a_list_that_others_have_begun_is_found_and_an_odd_one_does_no_harm(scheduler: Scheduler) -> None:
    scheduler.limits.set("api", rate=1, per=3600)
    ids = [job.id for job in scheduler.add_jobs([("noop", None, {"limits": "api"})] * 3)]
    other = RateLists(scheduler.store.jobs.collection, SYSTEM_CLOCK)
    assert (other.due(), other.wait()) == ([], None)
    scheduler.store.jobs.collection.update_one({"_id": ids[2]}, {"$set": {"blocked": ["rate:odd", 5]}})
    other.find()
    assert (other.due(), other.wait()) == (["rate:api"], 0.0)
    other.looked_at("rate:api", SYSTEM_CLOCK.monotonic() + 60)
    other.find()
    assert other.due() == []
    assert other.wait() == pytest.approx(60, abs=10)
    other.looked_at("limit:api", SYSTEM_CLOCK.monotonic() - 60)
    other.looked_at("rate:api", None)
    assert (other.due(), other.wait()) == ([], None)


def test_no_program_remembers_lists_without_end(scheduler: Scheduler) -> None:
    lists = RateLists(scheduler.store.jobs.collection, SYSTEM_CLOCK)
    lists.look_at(f"rate:{number}" for number in range(20_000))
    assert 1000 < len(lists.due()) < 20_000
