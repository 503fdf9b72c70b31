"""Ends of attempts are written until they are known to be, in batches, and what follows is delivered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from bson import ObjectId
from bson.errors import InvalidDocument
from pymongo.errors import AutoReconnect, BulkWriteError
from tests.support.eventually import eventually
from tests.support.tables import table
from tests.unit.node.fakes import SERVER_NOW, FakeClock, FakeManager, FakeStore, Threads, attempt, lease, report

from taskscheduler.model.lifecycle import Ending, Transition
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import QuickEnd
from taskscheduler.store.completions import Sign
from taskscheduler.store.flows.flow_node import NO_NODE
from taskscheduler_daemon.ipc.messages import Report
from taskscheduler_daemon.node.completion.aftermath import Aftermath
from taskscheduler_daemon.node.completion.completer import Completer, Logs
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.completion.hooks import HookCalls
from taskscheduler_daemon.node.completion.job_log import JobLog
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.output.book import LogBook
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight
from taskscheduler_daemon.node.state.meter import Meter


class Bench:
    """A completer, and the store that it writes to."""

    def __init__(self) -> None:
        self.store, self.manager, self.clock, self.threads = FakeStore(), FakeManager(), FakeClock(), Threads()
        self.locks = ExclusiveLocks(self.store.store, lease())
        self.in_flight, self.meter = InFlight(), Meter(self.store.store.clock)
        hooks = HookCalls(self.store.store, self.manager.proxy, ObjectId())
        self.completer = Completer(
            store=self.store.store,
            options=NodeOptions(name="node", max_lost=2),
            aftermath=Aftermath(self.store.store, "node", hooks, NO_NODE, self.in_flight, self.meter),
            locks=self.locks,
            logs=Logs(JobLog(self.clock), LogBook(self.store.store, self.in_flight, self.clock, self.threads)),
            clock=self.clock,
            threads=self.threads,
        )

    def end(self, one: Attempt, ending: Ending = Ending.SUCCEEDED, **content: Any) -> Completion:
        completion = self.completer.completion_of(one, report(one, ending, **content))
        self.completer.submit(completion)
        return completion

    def write(self) -> None:
        """Writes all that was submitted, and ends the thread."""
        self.completer.start()
        assert self.completer.stop()
        assert not self.threads.crashed.is_set()

    @property
    def written(self) -> list[ObjectId]:
        return [one.fence.job_id for one in self.store.completions.written]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    assert bench.completer.stop(lambda: True) in (True, False)


def test_a_dead_worker_is_broken_off_in_its_commit_before_its_end_is_written(bench: Bench) -> None:
    done, failed, lost = attempt(), attempt(), attempt()
    bench.end(done)
    bench.end(failed, Ending.FAILED, error={"type": "E", "message": ""})
    bench.end(lost, Ending.LOST, error={"type": "WorkerLostError", "message": ""})
    bench.write()
    assert bench.store.commits.broken_off == [lost.fence.job_id]
    calls = bench.store.faults.calls
    assert calls.index("commits.break_off") < calls.index("completions.write")


def test_who_has_no_dead_worker_asks_nothing_more(bench: Bench) -> None:
    bench.end(attempt())
    bench.end(attempt(), Ending.FAILED, error={"type": "E", "message": ""})
    bench.write()
    assert "commits.break_off" not in bench.store.faults.calls


def test_ends_that_gather_are_written_as_one(bench: Bench) -> None:
    many = [attempt() for _ in range(5)]
    for one in many:
        bench.end(one)
    bench.write()
    assert bench.store.completions.batches == [5]
    assert bench.written == [one.fence.job_id for one in many]
    assert [entry["status"] for entry in bench.store.events.entries] == [3] * 5


def test_a_write_is_limited_to_a_thousand_ends(bench: Bench) -> None:
    completion = bench.end(attempt())
    for _ in range(2499):
        bench.completer.submit(completion)
    bench.write()
    assert bench.store.completions.batches == [1000, 1000, 500]


def test_the_last_loss_is_counted_by_the_option(bench: Bench) -> None:
    completion = bench.end(attempt(lost=1), Ending.LOST, error={"type": "WorkerLostError", "message": "gone"})
    assert completion.verdict.move is Transition.POISON


def test_an_end_is_written_again_until_the_database_answers(bench: Bench) -> None:
    one = attempt()
    bench.store.faults.fail("completions.write", AutoReconnect("cut"), AutoReconnect("cut"))
    bench.end(one)
    bench.write()
    assert bench.written == [one.fence.job_id]


def test_what_follows_is_delivered_once_the_end_is_written(bench: Bench) -> None:
    retried, failed = attempt(options={"retry": 1}), attempt(hook=True)
    solo = attempt(solo="key")
    bench.store.outbox.hooks.add(failed.fence.job_id)
    document = bench.store.claims.documents
    document[failed.fence.job_id] = failed.job  # type: ignore[assignment]
    for one in (retried, failed, solo):
        bench.end(one, Ending.FAILED, error={"type": "ValueError", "message": "no"})
    bench.write()
    assert bench.store.wakeups.rearmed == [retried.fence.job_id]
    assert bench.store.outbox.delivered == [failed.fence.job_id, solo.fence.job_id]
    assert bench.store.admission.admitted == ["solo:key"]
    assert bench.manager.dispatched == [failed.fence.job_id], "the hook"


def test_an_end_that_a_fence_refuses_has_no_effects(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    lost, kept = attempt(options={"retry": 1}, solo="key"), attempt()
    bench.locks.release_after_end(lost)
    bench.store.completions.fenced.add(lost.fence.job_id)
    bench.end(lost, Ending.RETURNED)
    bench.end(kept)
    bench.write()
    assert bench.written == [kept.fence.job_id]
    assert bench.store.wakeups.rearmed == []
    assert bench.completer.fenced == 1
    assert lost.fence in bench.store.leases.absolved, "others may have taken this node for lost"
    assert bench.store.admission.released == [lost.fence], "it was cancelled: others wait until it is gone"
    assert "fence refused ends of jobs" in caplog.text


def test_a_document_that_is_refused_does_not_hold_up_the_others(bench: Bench) -> None:
    good, bad = attempt(), attempt()
    write = bench.store.completions.write

    def refusing(completions: list[Completion], quick: Sequence[QuickEnd] = ()) -> int:
        if any(one.result == "bad" for one in completions):
            raise BulkWriteError({"writeErrors": [{"code": 17419}]})
        return write(completions, quick)

    bench.store.completions.write = refusing  # type: ignore[assignment, method-assign]
    bench.end(bad, result="bad")
    bench.end(good, result="good")
    bench.write()
    outcomes = {one.fence.job_id: one for one in bench.store.completions.written}
    assert outcomes[good.fence.job_id].result == "good"
    assert outcomes[bad.fence.job_id].verdict.move is Transition.FAIL
    assert outcomes[bad.fence.job_id].error == {
        "type": "InvalidDataError",
        "message": "MongoDB refused to store the outcome of the job",
    }


def test_one_that_is_refused_fails_by_that_and_not_by_its_own_mistake(bench: Bench) -> None:
    bench.store.faults.fail("completions.write", BulkWriteError({"writeErrors": [{"code": 2}]}))
    error = {"type": "ValueError", "message": "no"}
    bench.end(attempt(), Ending.FAILED, error=error, fingerprint="0123456789ab")
    bench.write()
    [one] = bench.store.completions.written
    assert one.error is not None
    assert (one.error["type"], one.fingerprint) == ("InvalidDataError", None)


def test_the_document_of_one_that_is_refused_even_so_is_set_aside(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = BulkWriteError({"writeErrors": [{"code": 2}]})
    bench.store.faults.fail("completions.write", refusal, refusal)
    one = attempt()
    bench.end(one, result="bad")
    bench.write()
    assert bench.written == []
    error, held = bench.store.invalid_jobs.failed[one.fence.job_id]
    assert (error["type"], held) == ("InvalidDocumentError", one.fence.filter())
    assert "ends of jobs refused" in caplog.text


@pytest.mark.parametrize("error", [OverflowError("too large"), InvalidDocument("cannot encode")])
def test_what_the_driver_cannot_encode_fails_its_job_alone(bench: Bench, error: Exception) -> None:
    bench.store.faults.fail("completions.write", error, error)
    bad, good = attempt(), attempt()
    bench.end(bad, result="bad")
    bench.end(good, result="good")
    bench.write()
    assert sorted(bench.written) == sorted([bad.fence.job_id, good.fence.job_id])


def test_only_the_newest_sign_of_life_is_written_and_none_holds_up_an_end(bench: Bench) -> None:
    one = attempt()
    for progress in (10.0, 20.0):
        bench.completer.submit(Sign(one.fence, {"progress": progress}))
    bench.store.faults.fail("completions.progress", AutoReconnect("cut"))
    bench.end(one)
    bench.write()
    assert bench.written == [one.fence.job_id]
    bench.completer.submit(Sign(one.fence, {"progress": 30.0}))
    bench.completer.submit(Sign(one.fence, {"progress": 40.0}))
    bench.write()
    assert bench.store.completions.reports == [Sign(one.fence, {"progress": 40.0})]


def test_a_barrier_is_passed_when_everything_before_it_is_written(bench: Bench) -> None:
    one = attempt()
    bench.end(one)
    barrier = bench.completer.barrier()
    assert not barrier.is_set()
    bench.completer.start()
    assert barrier.wait(30)
    assert bench.written == [one.fence.job_id]


def test_results_are_dropped_only_when_they_may_be(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.store.faults.fail("completions.write", *[AutoReconnect("cut")] * 1000)
    bench.end(attempt())
    bench.completer.start()
    eventually(lambda: "ends of jobs not written yet" in caplog.text)
    asked: list[None] = []

    def may_drop() -> bool:
        asked.append(None)
        bench.clock.seconds += 2.0
        return len(asked) > 3

    assert not bench.completer.stop(may_drop)
    assert "waiting for the database to store how jobs ended" in caplog.text
    assert bench.written == []


def test_nothing_is_dropped_by_one_that_may_drop_and_can_write(bench: Bench) -> None:
    bench.end(one := attempt())
    bench.completer.start()
    assert bench.completer.stop(lambda: True)
    assert bench.written == [one.fence.job_id]


def test_one_that_was_never_started_has_nothing_to_write(bench: Bench) -> None:
    assert bench.completer.stop()


def test_what_cannot_follow_an_end_is_left_to_the_sweep_and_ends_no_session(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    odd, good = attempt(), attempt()
    bench.store.faults.fail("outbox.deliver", KeyError("next"))
    bench.end(odd, Ending.FAILED, error={"type": "ValueError", "message": "no"})
    bench.end(good)
    bench.write()
    assert set(bench.written) == {odd.fence.job_id, good.fence.job_id}
    assert "not done yet" in caplog.text


def test_an_end_has_the_times_of_the_worker_by_the_clock_of_the_server(bench: Bench) -> None:
    bench.store.clock.synchronize(SERVER_NOW, 1000.0)
    one = attempt()
    exact = report(one, Ending.SUCCEEDED, seconds=2.5)._replace(began=990.0)
    completion = bench.completer.completion_of(one, exact)
    assert (completion.began, completion.ended) == (SERVER_NOW.timestamp() - 10, SERVER_NOW.timestamp() - 7.5)
    by_manager = bench.completer.completion_of(one, exact._replace(began=0.0))
    assert (by_manager.began, by_manager.ended) == (SERVER_NOW.timestamp() - 2.5, SERVER_NOW.timestamp())
    unknown = bench.completer.completion_of(one, report(one, Ending.LOST, seconds=0.0, error={"message": ""}))
    assert (unknown.began, unknown.ended) == (0.0, 0.0)


def test_a_failure_is_logged_before_it_is_written(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    logged: list[str] = []
    bench.completer.submit = lambda entry: logged.append(caplog.text)  # type: ignore[method-assign]
    bench.completer.end(attempt(), report(attempt(), Ending.FAILED, error={"type": "ValueError", "message": "no"}))
    assert "job failed: ValueError: no" in logged[0]


@table(
    ("of_flows", "runs_on", "steps", "ends"),
    [(True, True, 4, 2), (False, True, 1, 1), (True, False, 2, 2)],
)
def test_ends_of_flows_are_waited_for_through_a_quiet_moment_while_jobs_run(
    of_flows: bool, runs_on: bool, steps: int, ends: int
) -> None:
    bench, waited = Bench(), list[float]()
    fields: dict[str, Any] = {"flow": ObjectId(), "joins": [ObjectId()]} if of_flows else {}
    bench.in_flight.add([attempt() for _ in range(8)])

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        if len(waited) == 1 and not runs_on:
            bench.in_flight.clear()
        if len(waited) == 2:
            bench.end(attempt(**fields))
        return False

    bench.completer._dropping.wait = wait  # type: ignore[method-assign, assignment]  # time passes as the test wants
    bench.end(attempt(**fields))
    gathered = bench.completer._gather()
    assert (len(waited), gathered.count) == (steps, ends)


@pytest.mark.parametrize(("coming", "steps"), [(0, 0), (20, 2)])
def test_the_first_part_of_a_layer_is_written_with_the_second_that_is_being_claimed(coming: int, steps: int) -> None:
    bench, waited = Bench(), list[float]()
    bench.in_flight.coming.count = coming
    bench.completer._dropping.wait = waited.append  # type: ignore[method-assign, assignment]  # no time passes
    for _ in range(10):
        bench.end(attempt(flow=ObjectId(), joins=[ObjectId()]))
    assert bench.completer._gather().count == 10
    assert len(waited) == steps


def test_ends_that_arrive_while_others_run_are_written_together(bench: Bench) -> None:
    bench.in_flight.add([attempt() for _ in range(8)])
    bench.completer.start()
    first = bench.end(attempt())
    second = bench.end(attempt())
    assert bench.completer.stop()
    assert set(bench.written) == {first.fence.job_id, second.fence.job_id}
    assert bench.store.completions.batches == [2]


def test_each_end_is_counted_once_however_often_what_follows_it_fails(bench: Bench) -> None:
    one, fenced, unstarted = attempt(), attempt(), attempt()
    bench.store.completions.fenced = {fenced.fence.job_id}
    bench.store.faults.fail("outbox.deliver", AutoReconnect("cut"), AutoReconnect("cut"))
    bench.end(one, Ending.FAILED, error={"type": "E", "message": ""})
    bench.end(fenced)
    bench.end(unstarted, Ending.UNSTARTED)
    bench.write()
    portion = bench.meter.take()
    assert portion is not None
    assert {name: count for name, count in portion.total.outcomes.items() if count} == {"failed": 1}


# -- quick ends --------------------------------------------------------------------------------------------------------


def quickly(one: Attempt, began: float = 990.0) -> tuple[Attempt, Report]:
    """A plain attempt that has succeeded, and what its worker said of it."""
    return one, report(one, Ending.SUCCEEDED, 0.25)._replace(began=began, cpu=0.125, peak_memory=2**20)


def counted(bench: Bench) -> tuple[int, float]:
    """How many attempts were counted, and for how many seconds they ran."""
    portion = bench.meter.take()
    assert portion is not None
    return portion.total.outcomes["done"], portion.total.run.sum


def test_a_quick_end_says_the_same_as_any_other_end(bench: Bench) -> None:
    one, said = quickly(attempt())
    bench.completer.end_quickly([(one, said)])
    bench.write()
    (written,) = bench.store.completions.written
    expected = bench.completer.completion_of(one, said)
    assert written == expected
    assert expected.is_simple
    assert bench.store.events.entries == [{"job": one.fence.job_id, "status": 3, "attempt": 1}]
    assert counted(bench) == (1, 0.25)


def test_quick_ends_are_written_with_others_and_limited_to_a_thousand(bench: Bench) -> None:
    bench.end(attempt(), result=1)
    for _ in range(9):
        bench.completer.end_quickly([quickly(attempt()) for _ in range(250)])
    bench.write()
    assert bench.store.completions.batches == [1001, 1000, 250]
    assert counted(bench)[0] == 2251


def test_quick_ends_are_counted_once_however_often_they_are_written(bench: Bench) -> None:
    bench.store.faults.fail("completions.write", AutoReconnect("cut"))
    bench.completer.end_quickly([quickly(attempt()), quickly(attempt())])
    bench.write()
    assert (len(bench.written), counted(bench)) == (2, (2, 0.5))


def test_quick_ends_that_land_are_not_counted_again_if_what_follows_fails(bench: Bench) -> None:
    notified = attempt(hook=True)
    bench.store.faults.fail("outbox.deliver", AutoReconnect("cut"))
    bench.completer.end_quickly([quickly(attempt())])
    bench.end(notified)
    bench.write()
    assert bench.store.outbox.delivered == [notified.fence.job_id]
    assert counted(bench)[0] == 2


def test_a_quick_end_whose_job_is_not_ours_any_more_is_refused(bench: Bench) -> None:
    ours, theirs = attempt(), attempt()
    bench.store.completions.fenced.add(theirs.fence.job_id)
    bench.completer.end_quickly([quickly(ours), quickly(theirs)])
    bench.write()
    assert (bench.written, bench.completer.fenced) == ([ours.fence.job_id], 1)
    assert [entry["job"] for entry in bench.store.events.entries] == [ours.fence.job_id]
    assert counted(bench)[0] == 1
