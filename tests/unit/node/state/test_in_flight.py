"""What a node holds, what it writes at the end of an attempt, and how much more it claims."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from taskscheduler.model.lifecycle import Ending, Status, Transition, Verdict
from taskscheduler.model.options import JobOptions
from taskscheduler.model.payload import CODEC
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.ipc.messages import Flag, Kind, Report, body
from taskscheduler_daemon.node.completion.completer import completion_of_report
from taskscheduler_daemon.node.completion.hooks import HOOK_TIMEOUT, NOTIFICATION, hook_run
from taskscheduler_daemon.node.state.in_flight import Attempt, Ledger

WORKER = ObjectId()
ERROR = {"type": "ValueError", "message": "no"}


def attempt(number: int = 1, options: dict[str, Any] | None = None, **fields: Any) -> Attempt:
    document = {
        "_id": ObjectId(),
        "class": "mail",
        "data": {"a": 1},
        "attempt": number,
        "options": JobOptions.of(options or {}).stored(),
        "retries": 0,
        "lost": 0,
        **fields,
    }
    raw = RawBSONDocument(bson.encode(document, codec_options=CODEC))
    return Attempt(Fence(document["_id"], "claim", number), raw, bytes(raw.raw), claimed_at=0.0)


def report(of: Attempt, ending: Ending, **content: Any) -> Report:
    packed = body(**content) if content else b""
    return Report(Kind.REPORT, ending, of.fence.job_id.binary, of.fence.attempt, WORKER.binary, 0.1, packed)


# -- what is held -----------------------------------------------------------------------------------------------------


def test_an_attempt_can_be_taken_once() -> None:
    ledger, one = Ledger(), attempt(3)
    ledger.add([one])
    assert len(ledger) == 1
    assert ledger.get(one.fence.job_id.binary) is one
    assert ledger.take(one.fence.job_id.binary, 3) is one
    assert ledger.take(one.fence.job_id.binary, 3) is None
    assert len(ledger) == 0


@pytest.mark.parametrize("number", [2, 4])
def test_another_attempt_of_the_same_job_is_not_ours(number: int) -> None:
    ledger, one = Ledger(), attempt(3)
    ledger.add([one])
    assert ledger.take(one.fence.job_id.binary, number) is None
    assert ledger.all() == [one]


def test_a_later_attempt_takes_the_place_of_an_earlier_one() -> None:
    ledger, old = Ledger(), attempt(1)
    new = Attempt(Fence(old.fence.job_id, "other", 2), old.job, old.raw, 1.0)
    ledger.add([old])
    ledger.add([new])
    assert ledger.take(old.fence.job_id.binary, 1) is None
    assert ledger.take(old.fence.job_id.binary, 2) is new


def test_clearing_gives_everything_away() -> None:
    ledger, both = Ledger(), [attempt(), attempt()]
    ledger.add(both)
    assert ledger.clear() == both
    assert ledger.all() == []


# -- what the manager is sent -----------------------------------------------------------------------------------------


def test_a_run_carries_the_job_as_it_is_stored() -> None:
    one = attempt(4, {"timeout": 2.5})
    run = one.run()
    assert (run.job_id, run.attempt, run.timeout, run.flags) == (one.fence.job_id.binary, 4, 2.5, Flag.NONE)
    assert bson.decode(run.body)["data"] == {"a": 1}


def test_a_forced_job_is_marked_and_so_is_a_hook() -> None:
    assert attempt(options={"force_spawn": True}).run().flags == Flag.FORCED
    hook = hook_run(RawBSONDocument(attempt(2, status=3).raw))
    assert (hook.flags, hook.timeout, hook.attempt) == (Flag.HOOK, HOOK_TIMEOUT, NOTIFICATION)


def test_the_end_of_a_hook_is_not_taken_for_that_of_the_job() -> None:
    """Others may have cancelled the job, so that its hook is called while it still runs here."""
    one, ledger = attempt(1), Ledger()
    ledger.add([one])
    hook = hook_run(RawBSONDocument(one.raw))
    assert ledger.take(hook.job_id, hook.attempt) is None
    assert ledger.take(one.fence.job_id.binary, 1) is one


# -- what is written --------------------------------------------------------------------------------------------------


def test_success_stores_the_result() -> None:
    one = attempt()
    finish = completion_of_report(one, report(one, Ending.SUCCEEDED, result={"x": 1}, said={"message": "m"}), 3)
    assert (finish.fence, finish.verdict, finish.result) == (one.fence, Verdict(Transition.SUCCEED), {"x": 1})
    assert (finish.progress, finish.effects, finish.error) == ({"message": "m"}, (), None)
    assert finish.worker == str(WORKER)


def test_a_success_in_a_series_owes_the_next_run() -> None:
    series = ObjectId()
    one = attempt(options={"interval": 5, "interval_reference": "start"}, series=series, seq=4)
    finish = completion_of_report(one, report(one, Ending.SUCCEEDED, result=7), 3)
    assert (finish.verdict, finish.effects) == (Verdict(Transition.SUCCEED, plans_next=True), ("next",))
    assert (finish.series, finish.interval, finish.interval_reference) == ((series, 4), 5, "start")
    assert finish.result == 7


def test_a_success_with_a_hook_owes_it() -> None:
    one = attempt(hook=True)
    assert completion_of_report(one, report(one, Ending.SUCCEEDED), 3).effects == ("hook",)


@pytest.mark.parametrize(
    ("ending", "move", "ended_as"),
    [(Ending.FAILED, Transition.FAIL, Status.FAILED), (Ending.TIMED_OUT, Transition.EXPIRE, Status.TIMEOUT)],
)
def test_a_failure_owes_its_family_and_stores_its_error(ending: Ending, move: Transition, ended_as: Status) -> None:
    one = attempt(hook=True)
    finish = completion_of_report(one, report(one, ending, error=ERROR), 3)
    assert (finish.verdict.move, finish.ended_as, finish.effects) == (move, ended_as, ("family", "hook"))
    assert (finish.error, finish.lost, finish.unstarted) == (ERROR, False, False)


def test_a_failure_that_is_retried_owes_nothing() -> None:
    one = attempt(options={"retry": 1, "retry_interval": 9, "interval": 5}, hook=True)
    finish = completion_of_report(one, report(one, Ending.FAILED, error=ERROR), 3)
    assert (finish.verdict, finish.effects, finish.retry_interval) == (Verdict(Transition.RETRY), (), 9)


def test_the_last_failure_of_a_run_in_a_series_owes_the_next_run_and_its_family() -> None:
    one = attempt(options={"retry": 1, "interval": 5}, retries=1, series=ObjectId(), seq=0)
    assert completion_of_report(one, report(one, Ending.FAILED, error=ERROR), 3).effects == ("next", "family")


def test_a_lost_worker_counts_and_is_no_retry() -> None:
    one = attempt(options={"retry": 1})
    finish = completion_of_report(one, report(one, Ending.LOST, error=ERROR), 3)
    assert (finish.verdict.move, finish.lost, finish.error) == (Transition.RELEASE, True, ERROR)


def test_a_job_that_lost_too_many_workers_is_set_aside_with_the_reason() -> None:
    one = attempt(lost=2)
    finish = completion_of_report(one, report(one, Ending.LOST, error={**ERROR, "signal": 9}), 3)
    assert (finish.verdict.move, finish.effects) == (
        Transition.POISON,
        ("family", "hook"),
    )  # nobody knows whether it has one
    assert finish.error == {"type": "PoisonedJobError", "message": "its worker died 3 times; no", "signal": 9}


def test_a_job_that_never_began_gives_its_number_back() -> None:
    one = attempt()
    finish = completion_of_report(one, report(one, Ending.UNSTARTED), 3)
    assert (finish.verdict.move, finish.unstarted, finish.lost, finish.worker) == (
        Transition.RELEASE,
        True,
        False,
        None,
    )


def test_a_job_that_was_handed_back_is_neither_lost_nor_failed() -> None:
    one = attempt(lost=2, options={"retry": 1})
    finish = completion_of_report(one, report(one, Ending.RETURNED), 3)
    assert (finish.verdict.move, finish.unstarted, finish.lost, finish.effects) == (
        Transition.RELEASE,
        False,
        False,
        (),
    )


# -- how much to claim ------------------------------------------------------------------------------------------------


def test_nothing_is_claimed_before_there_are_slots() -> None:
    assert (Ledger().target(), Ledger().room()) == (0, 0)


def test_as_long_as_nothing_is_known_one_job_per_slot_is_claimed() -> None:
    ledger = Ledger()
    ledger.set_slots(4)
    assert (ledger.target(), ledger.room()) == (4, 4)
    ledger.add([attempt(), attempt(), attempt()])
    assert ledger.room() == 1
    ledger.add([attempt()])
    assert ledger.room() == 0


def test_forced_jobs_take_no_slot() -> None:
    ledger = Ledger()
    ledger.set_slots(2)
    forced = [attempt(options={"force_spawn": True}) for _ in range(5)]
    ledger.add(forced)
    assert (len(ledger), ledger.room()) == (5, 2)
    ledger.add([attempt(), attempt()])
    assert ledger.room() == 0
    for one in forced:
        ledger.take(one.fence.job_id.binary, 1)
    assert ledger.room() == 0
    ledger.clear()
    assert ledger.room() == 2


def test_a_forced_job_that_is_claimed_again_before_its_end_is_counted_once() -> None:
    ledger = Ledger()
    ledger.set_slots(2)
    old = attempt(1, {"force_spawn": True})
    ledger.add([old])
    ledger.add([Attempt(Fence(old.fence.job_id, "other", 2), old.job, old.raw, 1.0)])
    assert ledger.take(old.fence.job_id.binary, 2) is not None
    assert (len(ledger), ledger.room()) == (0, 2)


@pytest.mark.parametrize(("seconds", "target"), [(10.0, 2), (0.1, 4), (0.01, 22), (0.001, 202), (1e-6, 1002)])
def test_what_can_start_in_the_next_tenth_of_a_second_is_claimed_ahead(seconds: float, target: int) -> None:
    ledger = Ledger()
    ledger.set_slots(2)
    ledger.learn(seconds)
    assert ledger.target() == target


def test_the_measured_rate_allows_more_ahead_up_to_a_limit() -> None:
    ledger = Ledger()
    ledger.set_slots(2)
    ledger.rate(now=0.0)
    for _ in range(1000):
        ledger.learn(1e-5)
    ledger.rate(now=0.05)  # too early to tell
    assert ledger.target() == 1002
    ledger.rate(now=0.1)
    assert ledger.target() == 2 + 2000
    for _ in range(100_000):
        ledger.learn(1e-5)
    ledger.rate(now=0.3)
    assert ledger.target() == 2 + 3000


def test_room_is_reported_once_it_is_worth_a_claim() -> None:
    ledger = Ledger()
    ledger.set_slots(2)
    ledger.learn(0.001)
    held = [attempt() for _ in range(202)]
    ledger.add(held)
    assert ledger.room() == 0
    for one in held[:99]:
        ledger.take(one.fence.job_id.binary, 1)
    assert ledger.room() == 0
    ledger.take(held[99].fence.job_id.binary, 1)
    assert ledger.room() == 100


def test_a_stall_ends_claiming_ahead() -> None:
    ledger = Ledger()
    ledger.set_slots(2)
    ledger.learn(0.0001)
    assert ledger.target() == 1002
    ledger.stalled()
    assert ledger.target() <= 3


# -- async attempts ---------------------------------------------------------------------------------------------------


def async_attempt(options: dict[str, Any] | None = None) -> Attempt:
    return attempt(1, options, **{"async": True})


def crowded(count: int, slots: int = 2, each: int = 10) -> Ledger:
    """A ledger of a node with so many slots and async attempts."""
    ledger = Ledger()
    ledger.set_slots(slots, each)
    ledger.add([async_attempt() for _ in range(count)])
    return ledger


def test_async_attempts_are_flagged_where_the_manager_has_room_for_them() -> None:
    ledger = Ledger()
    ledger.set_slots(2, 10)
    marked, plain = async_attempt(), attempt()
    forced = async_attempt({"force_spawn": True})
    ledger.add([marked, plain, forced])
    assert [one.run().flags for one in (marked, plain, forced)] == [Flag.ASYNC, Flag.NONE, Flag.FORCED]
    ledger.learn_async(str(plain.job["class"]))
    again = attempt()
    ledger.add([again])
    assert again.run().flags == Flag.ASYNC
    ledger.set_slots(2, 0)
    one_per_worker = async_attempt()
    ledger.add([one_per_worker])
    assert one_per_worker.run().flags == Flag.NONE


@pytest.mark.parametrize(
    ("held", "slots", "room", "async_room"),
    [
        (0, 2, 2, 10),  # nothing is known: one for each slot, and async ones in one worker
        (3, 2, 1, 7),  # one worker is theirs
        (10, 2, 1, 0),
        (12, 2, 1, 0),
        (10, 3, 2, 10),
        (15, 3, 1, 5),
        (10, 1, 1, 0),  # the only worker takes turns
        (0, 1, 1, 10),
    ],
)
def test_async_attempts_take_few_slots(held: int, slots: int, room: int, async_room: int) -> None:
    ledger = crowded(held, slots)
    assert (ledger.room(), ledger.async_room()) == (room, async_room)
    assert ledger.async_full == (held > 0 and held >= 10 * max(1, slots - 1))


def test_async_attempts_share_a_slot_and_forced_ones_take_none() -> None:
    ledger = crowded(3, 2)
    ledger.add([attempt(options={"force_spawn": True})])
    assert (ledger.busy, len(ledger)) == (1, 4)
    ledger.add([attempt() for _ in range(5)])
    assert ledger.busy == 2, "some of them wait for a slot"
    assert [crowded(held, 1).busy for held in (0, 3)] == [0, 1]


def test_other_attempts_leave_no_worker_for_async_ones() -> None:
    ledger = crowded(0)
    ledger.add([attempt()])
    assert ledger.async_room() == 10
    ledger.add([attempt()])
    assert (ledger.room(), ledger.async_room()) == (0, 0)


def test_what_may_be_async_is_claimed_only_as_far_as_there_is_room_for_that() -> None:
    ledger = crowded(4)
    ledger.learn(0.001)
    assert ledger.room() == 6
    assert ledger.room(asked=2) == 4
    full = crowded(10)
    full.learn(0.001)
    assert full.room() > 50  # none of these will be async: they are passed over


def test_async_attempts_that_end_make_room_again() -> None:
    ledger = crowded(10)
    for one in ledger.all()[:4]:
        ledger.take(one.fence.job_id.binary, 1)
    assert (ledger.async_room(), ledger.async_full) == (4, False)
    ledger.clear()
    assert (ledger.room(), ledger.async_room(), ledger.has_async) == (2, 10, False)
