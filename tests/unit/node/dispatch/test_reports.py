"""What the reports of the manager set off in a node."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import bson
import pytest
from bson import ObjectId
from tests.support.tables import table
from tests.unit.node.fakes import WORKER, FakeClock, FakeManager, attempt, lease, report

from taskscheduler.model.lifecycle import Ending, Transition
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.completions import Sign
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.messages import BATCH_RUN, Held, Kind, Report
from taskscheduler_daemon.node.completion.completer import completion_of_report
from taskscheduler_daemon.node.dispatch.reports import ReportHandler
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.in_flight import Attempt, Batch, InFlight
from taskscheduler_daemon.node.state.unknown_jobs import UnknownJobs


class Bench:
    """A report handler, and what it has told the others."""

    def __init__(self) -> None:
        self.clock, self.manager = FakeClock(), FakeManager()
        self.submitted: list[Any] = []
        self.quick: list[tuple[Attempt, Report]] = []
        self.hooks: list[Report] = []
        self.ended: list[Attempt] = []
        self.released: list[tuple[bytes, int]] = []
        self.in_flight = InFlight()
        self.capacity = Capacity(self.in_flight, lease(self.clock), 5)
        self.capacity.set_slots(2, 10, 16)
        completer = SimpleNamespace(
            submit=self.submitted.append,
            end=lambda one, said: self.submitted.append(completion_of_report(one, said, 3)),
            end_quickly=self.quick.extend,
        )
        self.handler = ReportHandler(
            in_flight=self.in_flight,
            capacity=self.capacity,
            completer=cast(Any, completer),
            hooks=cast(Any, SimpleNamespace(finished=self.hooks.append)),
            locks=cast(Any, SimpleNamespace(release_after_end=self.ended.append, release=self._release)),
            manager=self.manager.proxy,
            clock=self.clock,
        )

    def _release(self, job_id: bytes, attempt: int) -> None:
        self.released.append((job_id, attempt))

    def batch(self, count: int, **fields: Any) -> tuple[Batch, list[Attempt]]:
        """So many jobs that run as one."""
        jobs = [attempt(batch={"size": 10, "wait": 0}, **fields) for _ in range(count)]
        self.capacity.admit(jobs)
        batch = Batch(jobs)
        for one in jobs:
            one.batch = batch
        assert self.in_flight.begin_batch(batch, self.clock.seconds) is not None
        return batch, jobs

    def running(self, **fields: Any) -> Attempt:
        one = attempt(**fields)
        self.capacity.admit([one])
        return one


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_attempt_that_has_ended_is_no_longer_in_flight_and_is_written_once(bench: Bench) -> None:
    one = bench.running()
    said = report(one, Ending.SUCCEEDED, result=7)
    bench.handler.ended(said)
    bench.handler.ended(said)
    (completion,) = bench.submitted
    assert isinstance(completion, Completion)
    assert (completion.fence, completion.result, len(bench.in_flight)) == (one.fence, 7, 0)
    assert bench.ended == [one], "the lock of an exclusive job"
    assert bench.handler.ended_as == {Ending.SUCCEEDED: 1}


def test_reports_that_are_about_no_attempt_may_be_about_hooks(bench: Bench) -> None:
    said = report(attempt(), Ending.SUCCEEDED)
    bench.handler.ended(said)
    assert (bench.hooks, bench.submitted) == ([said], [])


def test_an_earlier_attempt_is_not_taken_for_a_later_one(bench: Bench) -> None:
    one = bench.running(number=2)
    bench.handler.ended(report(one, Ending.SUCCEEDED)._replace(attempt=1))
    assert (len(bench.in_flight), bench.submitted) == (1, [])


def test_work_that_is_handed_back_did_not_run_here(bench: Bench) -> None:
    one = bench.running()
    bench.capacity.speed.learn(0.0001)
    bench.handler.ended(report(one, Ending.UNSTARTED))
    assert bench.submitted[0].verdict.move is Transition.RELEASE
    assert bench.capacity.wanted_forced() == 5, "it counts for the budget no more"
    assert bench.capacity.target() <= 3, "nothing moves: claim nothing ahead"
    assert bench.handler.ended_as == {}


def test_how_long_jobs_take_is_measured_by_those_that_have_a_slot_for_themselves(bench: Bench) -> None:
    beside = bench.running(**{"async": True})
    bench.handler.ended(report(beside, Ending.SUCCEEDED, seconds=0.001))
    assert bench.capacity.target() == 2
    bench.handler.ended(report(bench.running(), Ending.SUCCEEDED, seconds=0.001))
    assert bench.capacity.target() > 2


def test_a_class_that_turns_out_to_be_async_is_remembered(bench: Bench) -> None:
    bench.handler.ended(report(bench.running(), Ending.SUCCEEDED, **{"async": True}))
    assert bench.running().is_async


def test_a_sign_of_life_is_written_with_what_it_says(bench: Bench) -> None:
    one = bench.running(parent=ObjectId())
    said: dict[str, Any] = {"id": one.fence.job_id, "attempt": 1, "progress": 50.0, "secret": "no"}
    bench.handler.progressed(report(one, Ending.SUCCEEDED, **said)._replace(kind=Kind.PROGRESS, began=990.0))
    assert bench.submitted == [Sign(one.fence, {"progress": 50.0, "worker": str(WORKER)}, one.parent, 990.0)]
    assert one.noted == bench.clock.seconds


@pytest.mark.parametrize("wrong", [{"attempt": 2}, {"id": ObjectId()}, {}])
def test_a_sign_of_life_of_another_attempt_is_not_written(bench: Bench, wrong: dict[str, Any]) -> None:
    one = bench.running()
    said = {"id": one.fence.job_id, "attempt": 1, "progress": 50.0, **wrong} if wrong else {"progress": 1.0}
    packed = Report(Kind.PROGRESS, Ending.SUCCEEDED, one.fence.job_id.binary, 1, WORKER.binary, 0.0, bson.encode(said))
    bench.handler.progressed(packed)
    bench.handler.progressed(packed._replace(job_id=ObjectId().binary))
    assert (bench.submitted, one.noted) == ([], 0.0)


def test_the_inventory_says_where_attempts_run_and_what_runs_without_right(bench: Bench) -> None:
    known, older, unknown = bench.running(), bench.running(number=2), ObjectId()
    bench.handler.held(
        [
            Held(known.fence.job_id, 1, WORKER, 3.5),
            Held(older.fence.job_id, 1, WORKER, 9.0),
            Held(unknown, 1, None, 0.0),
        ]
    )
    assert (known.worker, known.began, known.seen_at) == (WORKER, 3.5, bench.clock.seconds)
    assert (older.worker, older.seen_at) == (None, 0.0)
    known.began = 3.25
    bench.handler.held([Held(known.fence.job_id, 1, WORKER, 3.5)])
    assert known.began == 3.25, "its worker knows better when it began"
    assert bench.manager.cancelled == [unknown]


# -- jobs that workers do not know ------------------------------------------------------------------------------------


UNKNOWN: dict[str, Any] = {"error": {"type": "InvalidJobError", "message": "not registered"}, "unknown": True}


def unknowing(timeout: float) -> Bench:
    bench = Bench()
    bench.capacity.unknown = UnknownJobs(timeout)
    return bench


def test_a_job_that_workers_do_not_know_is_handed_back_and_its_class_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = unknowing(60.0)
    first, second = bench.running(**{"class": "new"}), bench.running(**{"class": "new"})
    left = bench.capacity.budget.left
    for one in (first, second):
        bench.handler.ended(report(one, Ending.FAILED, **UNKNOWN))
    assert [(one.verdict.move, one.unstarted, one.error) for one in bench.submitted] == [
        (Transition.RELEASE, True, None)
    ] * 2
    assert bench.capacity.unknown.names(bench.clock.seconds) == ["new"]
    assert (bench.capacity.budget.left, bench.handler.ended_as) == (left + 2, {})
    assert [record.message for record in caplog.records] == ["job not known on this node; left to others"]


def test_one_that_has_waited_long_enough_fails() -> None:
    bench = unknowing(60.0)
    one = bench.running()
    bench.capacity.unknown.expect_to_fail([one.fence.job_id])
    bench.handler.ended(report(one, Ending.FAILED, **UNKNOWN))
    assert [(done.verdict.move, done.error) for done in bench.submitted] == [(Transition.FAIL, UNKNOWN["error"])]


def test_without_a_time_to_wait_it_fails_at_once() -> None:
    bench = unknowing(0)
    bench.handler.ended(report(bench.running(), Ending.FAILED, **UNKNOWN))
    assert [done.verdict.move for done in bench.submitted] == [Transition.FAIL]
    assert bench.capacity.unknown.names(bench.clock.seconds) == []


def test_a_failure_that_only_mentions_the_word_is_a_failure() -> None:
    bench = unknowing(60.0)
    error = {"type": "ValueError", "message": "no", "unknown": True}
    bench.handler.ended(report(bench.running(), Ending.FAILED, error=error))
    assert [done.verdict.move for done in bench.submitted] == [Transition.FAIL]


# -- batches -----------------------------------------------------------------------------------------------------------


def of_batch(batch: Batch, ending: Ending, **content: Any) -> Report:
    said = report(batch.attempts[0], ending, **content)
    return said._replace(job_id=batch.id.binary, attempt=BATCH_RUN)


def test_the_end_of_a_batch_is_that_of_all_its_jobs_without_one_of_their_own(bench: Bench) -> None:
    batch, (one, failed, cancelled, other) = bench.batch(4)
    bench.handler.item_ended(messages.item(batch.id.binary, report(failed, Ending.FAILED, error={}).encode()))
    bench.in_flight.pop(cancelled.fence.job_id.binary, 1)
    bench.handler.ended(of_batch(batch, Ending.SUCCEEDED))
    ends = {end.fence.job_id: end.verdict.move for end in bench.submitted}
    assert ends == {
        failed.fence.job_id: Transition.FAIL,
        one.fence.job_id: Transition.SUCCEED,
        other.fence.job_id: Transition.SUCCEED,
    }
    assert (len(bench.in_flight), bench.in_flight.batches, bench.in_flight.counts()) == (0, {}, (0, 0))
    assert (cancelled.fence.job_id.binary, 1) in bench.released, "its process is gone"


def test_a_report_of_a_job_that_is_none_of_the_batch_means_nothing(bench: Bench) -> None:
    """A job can write to the socket of its worker, and name any other."""
    batch, _ = bench.batch(2)
    stranger = bench.running()
    bench.handler.item_ended(messages.item(batch.id.binary, report(stranger, Ending.SUCCEEDED).encode()))
    bench.handler.item_ended(messages.item(b"x" * 12, report(stranger, Ending.SUCCEEDED).encode()))
    assert bench.submitted == []
    assert len(bench.in_flight) == 3


def test_a_batch_that_is_handed_back_costs_no_budget(bench: Bench) -> None:
    batch, _ = bench.batch(3)
    assert bench.capacity.budget.left == 2
    bench.handler.ended(of_batch(batch, Ending.UNSTARTED))
    assert bench.capacity.budget.left == 5
    assert [end.unstarted for end in bench.submitted] == [True] * 3


def test_a_node_learns_which_classes_run_one_by_one(bench: Bench) -> None:
    batch, _ = bench.batch(2)
    bench.handler.ended(of_batch(batch, Ending.UNSTARTED, alone=True))
    again = bench.running(batch={"size": 10, "wait": 0})
    assert not again.gathers


def test_the_inventory_mentions_all_jobs_of_a_batch(bench: Bench) -> None:
    batch, jobs = bench.batch(2)
    bench.handler.held([Held(batch.id, BATCH_RUN, WORKER, 990.0)])
    assert [(one.seen_at, one.worker, one.began) for one in jobs] == [(1000.0, WORKER, 990.0)] * 2
    assert bench.manager.cancelled == []


def test_a_batch_of_which_no_job_is_ours_is_cancelled_and_forgotten_if_its_end_is_lost(bench: Bench) -> None:
    batch, (one, other) = bench.batch(2)
    for fence in (one.fence, other.fence):
        bench.in_flight.pop(fence.job_id.binary, 1)
    bench.handler.held([])
    assert bench.manager.cancelled == [batch.id]
    bench.clock.seconds += 6
    bench.handler.held([])
    assert bench.in_flight.batches == {}


def test_what_is_left_of_a_batch_is_gone(bench: Bench) -> None:
    batch, (one, _) = bench.batch(2)
    bench.handler.gone(batch.id.binary, BATCH_RUN)
    assert bench.in_flight.batches == {}
    assert (one.fence.job_id.binary, 1) in bench.released
    bench.handler.gone(b"x" * 12, 3)
    assert bench.released[-1] == (b"x" * 12, 3)


def test_progress_of_a_batch_is_that_of_each_job(bench: Bench) -> None:
    batch, jobs = bench.batch(2)
    content = {"progress": 50.0, "id": batch.id, "attempt": BATCH_RUN}
    bench.handler.progressed(of_batch(batch, Ending.SUCCEEDED, **content)._replace(kind=Kind.PROGRESS, began=990.0))
    assert [(sign.fence, sign.progress["progress"]) for sign in bench.submitted] == [(one.fence, 50.0) for one in jobs]


# -- many at once ------------------------------------------------------------------------------------------------------


SERVICE = {
    "restart": "never", "restart_interval": 1, "restart_interval_max": 1, "failures": 0, "stop_soft": 1, "stop_hard": 2,
}  # fmt: skip


def succeeded(of: Attempt, **content: Any) -> Report:
    """What a worker says of an attempt that has succeeded."""
    return report(of, Ending.SUCCEEDED, 0.001, **content)._replace(began=1.0)


def test_attempts_that_have_just_succeeded_end_together(bench: Bench) -> None:
    many = [bench.running() for _ in range(3)]
    said = [succeeded(one) for one in many]
    bench.handler.all_ended([*said, said[0]])
    assert bench.quick == list(zip(many, said, strict=True))
    assert (bench.submitted, len(bench.in_flight), bench.handler.ended_as) == ([], 0, {Ending.SUCCEEDED: 3})
    assert bench.hooks == [said[0]], "the second end of an attempt is that of no attempt"
    assert bench.capacity.target() > 2, "the speed was measured"


def test_a_job_of_a_flow_is_among_them(bench: Bench) -> None:
    one, feeds = (bench.running(flow=ObjectId(), joins=[ObjectId()], **more) for more in ({}, {"feeds": True}))
    bench.handler.all_ended([succeeded(one), succeeded(feeds)])
    assert ([attempt for attempt, _ in bench.quick], bench.submitted) == ([one, feeds], [])


def test_together_an_earlier_attempt_is_not_taken_for_a_later_one_either(bench: Bench) -> None:
    later, other = bench.running(number=2), bench.running()
    bench.handler.all_ended([succeeded(later)._replace(attempt=1), succeeded(other)])
    assert [attempt for attempt, _ in bench.quick] == [other]
    assert (bench.in_flight.all(), bench.submitted) == ([later], [])


@table(
    ("fields", "said"),
    [
        ({"hook": True}, {}),
        ({"once": "key"}, {}),
        ({"solo": "key"}, {}),
        ({"limits": ["api"]}, {}),
        ({"sequence": "s"}, {}),
        ({"group": "g"}, {}),
        ({"service": SERVICE}, {}),
        ({"suspect": {"of": "worker", "times": 1}}, {}),
        ({"signalled": 1}, {}),
        ({"series": ObjectId(), "seq": 1}, {}),
        ({"async": True}, {}),
        ({"options": {"interval": 60}}, {}),
        ({"options": {"force_spawn": True}}, {}),
        ({"number": 2}, {}),
        ({}, {"began": 0.0}),
        ({}, {"ending": Ending.FAILED}),
        ({}, {"ending": Ending.UNSTARTED}),
        ({}, {"body": messages.body(result=1)}),
        ({}, {"body": messages.body(logged=True)}),
        ({"flow": ObjectId(), "joins": [], "feeds": True}, {"body": messages.body(result=1)}),
    ],
)
def test_any_other_attempt_ends_by_itself(fields: dict[str, Any], said: dict[str, Any]) -> None:
    bench = Bench()
    one, plain = bench.running(**fields), bench.running()
    bench.handler.all_ended([succeeded(one)._replace(**said), succeeded(plain)])
    assert [attempt for attempt, _ in bench.quick] == [plain]
    assert [completion.fence for completion in bench.submitted] == [one.fence]
    assert len(bench.in_flight) == 0
