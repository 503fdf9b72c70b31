"""What a node asks for, and when it asks again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.support.eventually import eventually
from tests.support.tables import table
from tests.unit.node.fakes import PARKED_AT, SERVER_NOW, FakeClock, FakeStore, Threads, attempt, lease

from taskscheduler.operations.control.turn_taking import TurnTaker
from taskscheduler.store.claims import ALL_JOBS
from taskscheduler_daemon.node.claiming import claimer
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.claiming.finder import JobFinder
from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.claiming.pipeline import ClaimPipeline
from taskscheduler_daemon.node.claiming.rate_check import RateCheck
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.claiming.successors import Successors
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.controls import ControlView
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight


class Bench:
    """A claimer of a node with two slots, and the jobs that it has dispatched."""

    def __init__(self, max_jobs: int = 0, queues: tuple[str, ...] = (), unknown_timeout: float = 0) -> None:
        self.store, self.clock, self.in_flight, self.threads = FakeStore(), FakeClock(), InFlight(), Threads()
        self.lease = lease(self.clock)
        self.capacity = Capacity(self.in_flight, self.lease, max_jobs, unknown_timeout)
        self.capacity.set_slots(2, 10, 16)
        self.dispatched: list[ObjectId] = []
        node = NodeIdentity(ObjectId(), "node")
        self.partition = Partition(node.boot, 30.0)
        self.search = Search(queues)
        self.successors = Successors(self.store.store, self.search, self.in_flight)
        self.view = ControlView(self.store.store)
        self.turns = TurnTaker(self.store.store, self.clock)
        dispatcher = cast(Any, SimpleNamespace(dispatch=self._dispatch))
        rates = RateCheck(self.store.store, ControlView(self.store.store), cast(Any, None))
        self.claimer = Claimer(
            finder=JobFinder(
                store=self.store.store,
                served=queues,
                unknown=self.capacity.unknown,
                view=self.view,
                turns=self.turns,
                successors=self.successors,
                clock=self.clock,
            ),
            capacity=self.capacity,
            pipeline=ClaimPipeline(self.store.store, node, self.capacity, dispatcher, rates, self.clock),
            search=self.search,
            partition=self.partition,
            clock=self.clock,
            threads=self.threads,
        )

    def _dispatch(self, attempts: list[Attempt]) -> None:
        self.dispatched += [one.fence.job_id for one in attempts]

    def pause(self, *keys: str, **fields: Any) -> None:
        """Somebody pauses this, and the node has heard of it."""
        self.store.controls.stored = [{"_id": key, **fields} for key in keys]
        self.view.refresh()
        self.claimer.look_everywhere()

    def look(self) -> list[ObjectId]:
        """What one look dispatches."""
        self.dispatched = []
        self.claimer._look()
        return self.dispatched

    def at_rest(self) -> None:
        """It has looked everywhere and found nothing."""
        assert self.look() == []
        self.store.faults.calls.clear()
        self.claimer._wake.clear()

    def end_all(self) -> None:
        self.in_flight.clear()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.claimer.stop()
    assert not bench.threads.crashed.is_set()


def test_as_many_jobs_are_claimed_as_there_is_room_for(bench: Bench) -> None:
    ids = bench.store.claims.add(5)
    assert bench.look() == ids[:2]
    assert bench.look() == []
    bench.end_all()
    assert bench.look() == ids[2:4]


def test_a_hinted_job_is_claimed_by_its_id_without_a_search(bench: Bench) -> None:
    bench.at_rest()
    (job_id,) = bench.store.claims.add()
    bench.claimer.hint([job_id], ["default"], forced=False, later=False)
    assert bench.claimer._wake.is_set()
    assert bench.look() == [job_id]
    assert bench.store.faults.calls == ["claims.claim_one"]


def test_one_for_which_there_is_no_room_is_searched_for_when_there_is(bench: Bench) -> None:
    bench.at_rest()
    bench.in_flight.add([attempt(), attempt()])
    (job_id,) = bench.store.claims.add()
    bench.claimer.hint([job_id], ["default"], forced=False, later=False)
    assert bench.look() == []
    bench.claimer._wake.clear()
    bench.claimer.slots_free()
    assert not bench.claimer._wake.is_set()
    bench.end_all()
    bench.claimer.slots_free()
    assert bench.claimer._wake.is_set()
    assert bench.look() == [job_id]


def test_hints_about_queues_that_are_not_served_are_ignored() -> None:
    bench = Bench(queues=("mail",))
    bench.at_rest()
    bench.claimer.hint([ObjectId()], ["copy"], forced=True, later=False)
    assert not bench.claimer._wake.is_set()
    bench.claimer.stop()


def claimed_here(bench: Bench, *ids: ObjectId, queue: str = "default", later: bool = False) -> list[ObjectId]:
    """What a message about these jobs has dispatched before the claimer has woken."""
    bench.dispatched = []
    bench.claimer.claim_added(ids, [queue], forced=False, later=later)
    return bench.dispatched


def test_a_few_added_jobs_are_claimed_in_the_thread_that_hears_of_them(bench: Bench) -> None:
    bench.at_rest()
    ids = bench.store.claims.add(2)
    assert claimed_here(bench, *ids) == ids
    assert bench.store.faults.calls == ["claims.claim_one"] * 2
    assert not bench.claimer._wake.is_set(), "nothing else is to do"


def _without_room(bench: Bench) -> None:
    bench.in_flight.add([attempt(), attempt()])


def _without_a_lease(bench: Bench) -> None:
    bench.lease.renewed(bench.clock.seconds)
    bench.clock.seconds += 27.0


def _paused(bench: Bench) -> None:
    bench.store.controls.stored = [{"_id": "pause:all"}]
    bench.view.refresh()


def _with_a_backlog(bench: Bench) -> None:
    bench.search.more = True


def _with_forced_jobs(bench: Bench) -> None:
    bench.search.forced = True


def _at_work(bench: Bench) -> None:
    bench.claimer._claiming.acquire()


@pytest.mark.parametrize(
    "state", [_without_room, _without_a_lease, _paused, _with_a_backlog, _with_forced_jobs, _at_work]
)
def test_where_the_claimer_has_more_to_do_or_nothing_may_start_it_decides(
    bench: Bench, state: Callable[[Bench], None]
) -> None:
    bench.at_rest()
    state(bench)
    assert claimed_here(bench, *bench.store.claims.add()) == []
    assert bench.claimer._wake.is_set()
    assert "claims.claim_one" not in bench.store.faults.calls
    if state is _at_work:
        bench.claimer._claiming.release()


@pytest.mark.parametrize("many", [{"count": 5}, {"later": True}])
def test_many_jobs_and_those_that_may_be_for_later_are_searched_for(bench: Bench, many: dict[str, Any]) -> None:
    bench.at_rest()
    ids = bench.store.claims.add(many.get("count", 1))
    assert claimed_here(bench, *ids, later=many.get("later", False)) == []
    assert bench.claimer._wake.is_set()
    assert bench.look() == ids[:2]


@pytest.mark.parametrize("traits", [{"async": True}, {"batch": {"size": 3, "wait": 1}}])
def test_the_claimer_looks_for_others_that_may_start_beside_a_job_claimed_elsewhere(
    bench: Bench, traits: dict[str, Any]
) -> None:
    bench.at_rest()
    (job_id,) = bench.store.claims.add(**traits)
    assert claimed_here(bench, job_id) == [job_id]
    assert bench.claimer._wake.is_set()


@pytest.mark.parametrize("error", [AutoReconnect("cut"), RuntimeError("odd")])
def test_after_an_error_the_claimer_takes_over(
    bench: Bench, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    bench.at_rest()
    added, other = bench.store.claims.add(2)
    bench.store.faults.fail("claims.claim_one", error)
    assert claimed_here(bench, added) == []
    assert "claiming failed" in caplog.text
    assert bench.claimer._wake.is_set()
    assert bench.look() == [other], "it looks for jobs of which no message tells"
    assert len(bench.store.claims.released) == 1, "the claim whose answer was lost"


def _claiming_slowly(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, job_id: ObjectId
) -> tuple[threading.Thread, threading.Event]:
    """A thread that is claiming a job, and what lets it go on."""
    begun, go_on, claim_one = threading.Event(), threading.Event(), bench.store.claims.claim_one

    def slowly(*asked: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return claim_one(*asked)

    monkeypatch.setattr(bench.store.claims, "claim_one", slowly)
    claiming = threading.Thread(target=claimed_here, args=(bench, job_id))
    claiming.start()
    assert begun.wait(30)
    return claiming, go_on


def test_the_claimer_does_not_look_while_another_thread_claims(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.at_rest()
    claiming, go_on = _claiming_slowly(bench, monkeypatch, *bench.store.claims.add())
    bench.claimer.start()
    bench.claimer.look_everywhere()
    eventually(lambda: not bench.claimer._wake.is_set(), 10, "it has woken")
    claiming.join(0.05)
    assert bench.store.faults.calls == []
    go_on.set()
    eventually(lambda: "claims.queues" in bench.store.faults.calls)
    claiming.join(30)
    assert not claiming.is_alive()


def test_once_it_has_stopped_nothing_is_claimed_elsewhere_and_it_waits_for_what_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.at_rest()
    first, second = bench.store.claims.add(2)
    claiming, go_on = _claiming_slowly(bench, monkeypatch, first)
    stopping = threading.Thread(target=bench.claimer.stop)
    stopping.start()
    eventually(bench.claimer._stopped.is_set)
    stopping.join(0.05)
    assert stopping.is_alive()
    go_on.set()
    for thread in (claiming, stopping):
        thread.join(30)
        assert not thread.is_alive()
    assert bench.dispatched == [first]
    assert claimed_here(bench, second) == []


def test_jobs_of_queues_that_are_not_served_are_claimed_nowhere() -> None:
    bench = Bench(queues=("mail",))
    bench.at_rest()
    assert claimed_here(bench, *bench.store.claims.add(queue="copy"), queue="copy") == []
    assert not bench.claimer._wake.is_set()
    bench.claimer.stop()


def test_nothing_is_claimed_without_a_lease(bench: Bench) -> None:
    (job_id,) = bench.store.claims.add()
    bench.lease.renewed(bench.clock.seconds)
    bench.clock.seconds += 27.0
    assert bench.look() == []
    assert bench.store.faults.calls == []
    bench.lease.renewed(bench.clock.seconds)
    assert bench.look() == [job_id]


def test_a_node_claims_no_more_than_its_budget() -> None:
    bench = Bench(max_jobs=3)
    forced = bench.store.claims.add(2, options={"force_spawn": True})
    others = bench.store.claims.add(3)
    assert bench.look() == [*forced, others[0]]
    assert bench.capacity.budget.is_exhausted
    bench.end_all()
    assert bench.look() == []
    bench.capacity.budget.refund(1)
    assert bench.look() == [others[1]]
    bench.claimer.stop()


def test_forced_jobs_are_claimed_although_no_slot_is_free(bench: Bench) -> None:
    bench.in_flight.add([attempt(), attempt()])
    forced = bench.store.claims.add(2, options={"force_spawn": True})
    bench.store.claims.add(1)
    assert bench.look() == forced
    bench.store.faults.calls.clear()
    bench.look()
    assert "claims.forced" not in bench.store.faults.calls, "not before somebody says that there are some"


def test_async_jobs_behind_others_are_claimed_as_long_as_there_is_room_for_them(bench: Bench) -> None:
    bench.in_flight.add([attempt()])
    others = bench.store.claims.add(3)
    beside = bench.store.claims.add(12, **{"async": True})
    assert bench.look() == beside[:10]
    assert set(others) <= set(bench.store.claims.waiting), "the other slot is theirs"
    bench.claimer._wake.clear()
    bench.claimer.slots_free()
    assert not bench.claimer._wake.is_set()
    for job_id in beside[:4]:
        bench.in_flight.pop(job_id.binary, 1)
    bench.claimer.slots_free()
    assert bench.claimer._wake.is_set()
    assert set(beside[10:]) <= set(bench.look())


def test_with_one_slot_async_jobs_are_claimed_until_a_job_of_the_other_kind_comes(bench: Bench) -> None:
    bench.capacity.set_slots(1, 10)
    first = bench.store.claims.add(3, **{"async": True})
    (other,) = bench.store.claims.add(1)
    behind = bench.store.claims.add(3, **{"async": True})
    claimed = bench.look()
    assert claimed == [*first, other]
    assert bench.look() == []
    bench.end_all()
    assert bench.look() == behind


def test_where_one_job_turned_out_to_be_async_more_are_searched_for_although_no_slot_is_free(bench: Bench) -> None:
    bench.at_rest()
    bench.in_flight.add([attempt()])
    beside = bench.store.claims.add(12, **{"async": True})
    bench.claimer.hint(beside, ["default"], forced=False, later=False)
    assert bench.look() == beside[:10]


def test_others_are_read_when_a_claim_got_less_than_it_asked_for(bench: Bench) -> None:
    """Other nodes seem to claim from the same queue."""
    ids = bench.store.claims.add(4)
    bench.look()
    read = bench.store.faults.calls.count("nodes.all")
    bench.end_all()
    bench.store.claims.claim = lambda *asked: _nothing(bench, *asked)  # type: ignore[method-assign]
    bench.look()
    assert bench.store.faults.calls.count("nodes.all") == read
    bench.clock.seconds += 0.2
    bench.claimer.look_everywhere()
    bench.look()
    assert bench.store.faults.calls.count("nodes.all") == read + 1
    assert set(bench.store.claims.waiting) == set(ids[2:])


def _nothing(bench: Bench, ids: list[ObjectId], claim: str, *_: Any) -> int:
    bench.store.claims.got[claim] = []
    bench.search.more = False
    return 0


def test_abandoned_claims_are_released_before_anything_is_claimed(bench: Bench) -> None:
    bench.store.claims.add(1)
    bench.store.faults.fail("claims.claimed", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        bench.look()
    bench.look()
    assert len(bench.store.claims.released) == 1


def test_after_an_error_it_looks_everywhere_again(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claimer, "_PAUSE_AFTER_ERROR", 0.02)
    bench.store.faults.fail("claims.candidates", AutoReconnect("cut"))
    bench.store.claims.add(1)
    bench.claimer.start()
    bench.claimer.look_everywhere()
    eventually(lambda: "claiming failed" in caplog.text)
    assert not bench.threads.crashed.is_set()

    def claimed() -> bool:
        bench.claimer.slots_free()  # as the main loop does again and again
        return bool(bench.dispatched)

    eventually(claimed)


def test_once_it_has_stopped_it_claims_nothing(bench: Bench) -> None:
    bench.claimer.start()
    bench.claimer.stop()
    bench.store.claims.add(1)
    bench.claimer.look_everywhere()
    assert bench.dispatched == []
    assert bench.claimer._thread is not None
    assert not bench.claimer._thread.is_alive()


@pytest.mark.parametrize("waits", ["nothing", "a job", "a job of a group"])
def test_while_flows_are_fast_and_no_slot_is_free_their_jobs_wait_for_others_only_if_there_are_some(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, waits: str
) -> None:
    bench.at_rest()
    monkeypatch.setattr(bench.search, "is_look_due", lambda: True)
    bench.in_flight.add([attempt() for _ in range(bench.capacity.target())])
    if waits == "a job":
        bench.store.claims.add()
    elif waits == "a job of a group":
        bench.store.claims.add_to_group("x")
    assert bench.look() == []
    assert bench.search.more == (waits != "nothing")
    if waits == "nothing":
        bench.end_all()
        bench.look()
        assert "claims.queues" in bench.store.faults.calls, "with room it looks everywhere"


def test_forced_jobs_beyond_the_limit_wait_until_one_has_ended(bench: Bench) -> None:
    bench.capacity.set_slots(2, 10, 3)
    ids = bench.store.claims.add(5, options={"force_spawn": True})
    assert bench.look() == ids[:3]
    bench.claimer._wake.clear()
    bench.claimer.slots_free()
    assert not bench.claimer._wake.is_set()
    bench.in_flight.pop(ids[0].binary, 1)
    bench.claimer.slots_free()
    assert bench.claimer._wake.is_set()
    assert bench.look() == [ids[3]]
    bench.end_all()
    assert bench.look() == [ids[4]]
    bench.end_all()
    bench.at_rest()
    bench.claimer.slots_free()
    assert not bench.claimer._wake.is_set(), "nothing is left to look for"


def test_ordinary_jobs_are_claimed_past_forced_ones_that_wait(bench: Bench) -> None:
    bench.capacity.set_slots(2, 10, 3)
    forced = bench.store.claims.add(5, options={"force_spawn": True})
    ordinary = bench.store.claims.add(2)
    assert bench.look() == [*forced[:3], *ordinary]


def test_a_forced_job_that_was_just_added_waits_for_its_limit_like_all_others(bench: Bench) -> None:
    bench.capacity.set_slots(2, 10, 1)
    first = bench.store.claims.add(1, options={"force_spawn": True})
    assert bench.look() == first
    bench.at_rest()
    later = bench.store.claims.add(1, options={"force_spawn": True})
    bench.claimer.hint(later, ["default"], forced=True, later=False)
    assert bench.look() == []
    bench.end_all()
    assert bench.look() == later


NEW: dict[str, Any] = {"class": "new"}


def test_jobs_of_unknown_classes_are_left_to_other_nodes() -> None:
    bench = Bench(unknown_timeout=3600)
    bench.capacity.unknown.left_to_others(ObjectId(), "new", bench.clock.seconds)
    bench.store.claims.add(**NEW)
    (known,) = bench.store.claims.add()
    assert bench.look() == [known]


def test_jobs_that_no_node_knows_are_claimed_once_they_have_waited_long_enough() -> None:
    bench = Bench(unknown_timeout=600)
    unknown = bench.capacity.unknown
    unknown.left_to_others(ObjectId(), "new", bench.clock.seconds)
    (overdue,) = bench.store.claims.add(**NEW)
    bench.store.claims.overdue_ids = {overdue}
    assert bench.look() == [overdue]
    assert not unknown.left_to_others(overdue, "new", bench.clock.seconds), "it fails now"
    (later,) = bench.store.claims.add(**NEW)
    bench.store.claims.overdue_ids = {later}
    bench.clock.seconds += 9.0
    assert bench.look() == [], "not so soon again"
    bench.clock.seconds += 1.0
    assert bench.look() == [later]


def test_while_everything_is_paused_nothing_is_claimed(bench: Bench) -> None:
    bench.store.claims.add(1, options={"force_spawn": True})
    bench.store.claims.add(1, **{"async": True})
    hinted, _ = bench.store.claims.add(2)
    bench.pause("pause:all")
    bench.claimer.hint([hinted], ["default"], forced=True, later=False)
    assert bench.look() == []
    assert bench.store.faults.calls == ["controls.load"], "nobody is asked for jobs"
    bench.pause()
    assert hinted in bench.look()


def test_while_everything_is_paused_abandoned_claims_are_released(bench: Bench) -> None:
    bench.store.claims.add(1)
    bench.store.faults.fail("claims.claimed", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        bench.look()
    bench.pause("pause:all")
    bench.look()
    assert len(bench.store.claims.released) == 1


KINDS: tuple[dict[str, Any], ...] = ({}, {"async": True}, {"options": {"force_spawn": True}})


@table("kind", KINDS)
@table("slots", [1, 2])
@table("queues", [(), ("mail", "default")])
def test_a_paused_queue_is_left_out_of_every_search(kind: dict[str, Any], slots: int, queues: tuple[str, ...]) -> None:
    bench = Bench(queues=queues)
    bench.capacity.set_slots(slots, 10, 16)
    bench.store.claims.add(3, **kind, queue="mail")
    (other,) = bench.store.claims.add(1, **kind)
    bench.pause("pause:queue:mail")
    assert bench.look() == [other]
    bench.claimer.stop()


def test_a_hinted_job_of_a_paused_queue_or_class_is_left_alone(bench: Bench) -> None:
    bench.at_rest()
    bench.pause("pause:queue:mail", "pause:job:copy")
    bench.look()
    ids = [*bench.store.claims.add(1, queue="mail"), *bench.store.claims.add(1, **{"class": "copy"})]
    bench.claimer.hint(ids, ["mail", "default"], forced=False, later=False)
    assert bench.look() == []


@table("kind", KINDS)
@table("slots", [1, 2])
@table("key", ["pause:job:copy", "pause:tag:x"])
def test_jobs_of_a_paused_class_or_tag_are_parked_and_others_claimed(
    kind: dict[str, Any], slots: int, key: str
) -> None:
    bench = Bench()
    bench.capacity.set_slots(slots, 10, 16)
    paused = bench.store.claims.add(20, **kind, **{"class": "copy", "tags": ["y", "x"]})
    (other,) = bench.store.claims.add(1, **kind)
    bench.pause(key)
    claimed = bench.look()
    while bench.search.more and not claimed:
        claimed = bench.look()
    assert claimed == [other]
    assert list(bench.store.blocked_jobs.parked[key]) == paused
    bench.claimer.stop()


def test_a_pause_that_is_over_holds_nothing(bench: Bench) -> None:
    (job_id,) = bench.store.claims.add(1)
    bench.pause("pause:all", "pause:job:mail", until=SERVER_NOW)
    assert bench.look() == [job_id]


def test_jobs_that_nobody_knows_do_not_fail_while_they_are_paused() -> None:
    bench = Bench(unknown_timeout=3600)
    bench.capacity.unknown.left_to_others(ObjectId(), "new", bench.clock.seconds)
    bench.store.claims.overdue_ids = set(bench.store.claims.add(1, **NEW))
    bench.pause("pause:job:new")
    assert bench.look() == []
    assert set(bench.store.blocked_jobs.parked["pause:job:new"]) == bench.store.claims.overdue_ids
    bench.claimer.stop()


def test_without_a_pause_nothing_is_read_that_tells_paused_jobs(bench: Bench) -> None:
    assert bench.claimer._finder.scope() is ALL_JOBS
    assert ALL_JOBS.fields == {}


def test_groups_take_turns_whichever_has_more_jobs(bench: Bench) -> None:
    many, few = bench.store.claims.add_to_group("a", 50), bench.store.claims.add_to_group("b", 2)
    assert bench.look() == [many[0], few[0]]
    bench.end_all()
    assert bench.look() == [many[1], few[1]]
    bench.end_all()
    assert bench.look() == many[2:4]


def test_jobs_of_groups_are_claimed_beside_waiting_ones_by_priority_and_age(bench: Bench) -> None:
    (urgent,) = bench.store.claims.add(priority=1)
    (young,) = bench.store.claims.add(at=PARKED_AT + timedelta(seconds=1))
    first, second = bench.store.claims.add_to_group("a", 2)
    assert bench.look() == [urgent, first]
    bench.end_all()
    assert bench.look() == [second, young]


def test_a_node_that_rests_hears_of_jobs_of_groups(bench: Bench) -> None:
    bench.at_rest()
    (job_id,) = bench.store.claims.add_to_group("a")
    bench.claimer.groups_wait(["default"])
    assert bench.claimer._wake.is_set()
    assert bench.look() == [job_id]


def test_without_groups_nothing_is_asked_about_them(bench: Bench) -> None:
    bench.at_rest()
    for _ in range(3):
        bench.store.claims.add(5)
        bench.claimer.hint([], ["default"], forced=False, later=True)
        assert len(bench.look()) == 2
        bench.end_all()
    assert not [call for call in bench.store.faults.calls if call.startswith("group_lists")]


def test_a_job_of_a_group_that_another_control_keeps_back_is_not_claimed(bench: Bench) -> None:
    first, second = bench.store.claims.add_to_group("a", 2)
    bench.store.admission.refused.add(first)
    assert bench.look() == [second]


def test_little_is_claimed_ahead_while_groups_wait(bench: Bench) -> None:
    bench.capacity.speed.learn(0.0001)
    bench.store.claims.add_to_group("a", 1000)
    assert len(bench.look()) == 2 + 6
    bench.store.claims.in_groups.clear()
    bench.store.claims.add(2000)
    bench.end_all()
    bench.claimer.look_everywhere()
    assert len(bench.look()) > 900


def test_async_jobs_take_turns_where_no_slot_is_free(bench: Bench) -> None:
    bench.capacity.learn_async("mail")
    bench.in_flight.add([attempt()])
    waits = bench.store.claims.add_to_group("a", 2, **{"async": True})
    assert sorted(bench.look()) == waits
