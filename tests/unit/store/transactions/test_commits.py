"""The commit of a job: fenced, retried until its outcome is known, and given up without harm."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect, OperationFailure
from tests.unit.node.fakes import FakeClock

from taskscheduler.errors import DatabaseUnavailableError
from taskscheduler.model.lifecycle import Transition, Verdict
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempts.completion import Completion, is_committed
from taskscheduler.store.attempts.ending import completion_update
from taskscheduler.store.fence import Fence
from taskscheduler.store.transactions.commits import CommitSteps, Started
from taskscheduler.store.transactions.steps import Call, Pause, SessionCall, Steps

FENCE = Fence(ObjectId(), "c" * 32, 2)
DONE = Completion(FENCE, Verdict(Transition.SUCCEED), commits=True)
ONE, NONE = SimpleNamespace(matched_count=1), SimpleNamespace(matched_count=0)

UNKNOWN = AutoReconnect("cut", None)
UNKNOWN._add_error_label("UnknownTransactionCommitResult")
TRANSIENT = OperationFailure("aborted", 251, {"errorLabels": ["TransientTransactionError"]})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def steps(clock: FakeClock) -> CommitSteps:
    return CommitSteps(SchedulerOptions.of({}), clock)


def played(steps: Steps[Any], *answers: Any) -> tuple[list[str], Any]:
    """The methods that were called, and what the operation returns or raises; pauses take no time."""
    called, left = list[str](), list(answers)
    try:
        step = next(steps)
        while True:
            if isinstance(step, Pause):
                step = steps.send(None)
                continue
            assert isinstance(step, Call | SessionCall)
            called.append(step.method)
            answer = left.pop(0)
            step = steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
    except StopIteration as end:
        return called, end.value
    except Exception as error:
        return called, error


def test_the_mark_is_written_behind_the_fence_before_the_transaction_begins(steps: CommitSteps) -> None:
    begun = steps.begin(Started(FENCE.job_id, 2, FENCE.claim), "lsid")
    mark = next(begun)
    assert isinstance(mark, Call)
    assert mark.arguments == (FENCE.filter(), {"$set": {"committing": {"attempt": 2, "session": "lsid"}}})
    start = begun.send(ONE)
    assert isinstance(start, SessionCall)
    assert start.method == "start_transaction"
    with pytest.raises(StopIteration) as ended:
        begun.send(None)
    assert ended.value.value == FENCE


def test_a_claim_that_the_worker_was_not_told_is_read(steps: CommitSteps) -> None:
    found = steps.begin(Started(FENCE.job_id, 2), "lsid")
    assert played(found, {"claim": FENCE.claim}, ONE, None) == (["find_one", "update_one", "start_transaction"], FENCE)
    assert played(steps.begin(Started(FENCE.job_id, 2), "lsid"), None) == (["find_one"], None)


def test_a_job_of_another_attempt_begins_no_transaction(steps: CommitSteps) -> None:
    assert played(steps.begin(Started(FENCE.job_id, 2, FENCE.claim), "lsid"), NONE) == (["update_one"], None)


def test_the_mark_is_written_again_through_an_election(steps: CommitSteps) -> None:
    begun = steps.begin(Started(FENCE.job_id, 2, FENCE.claim), "lsid")
    assert played(begun, AutoReconnect("cut"), ONE, None)[1] == FENCE


def test_an_end_that_the_fence_refuses_is_aborted(steps: CommitSteps) -> None:
    assert played(steps.finish(DONE), NONE, None) == (["bulk_write", "abort_transaction"], False)


def test_an_unknown_outcome_is_asked_for_until_it_is_known(steps: CommitSteps) -> None:
    called, done = played(steps.finish(DONE), ONE, UNKNOWN, UNKNOWN, UNKNOWN, None)
    assert (called, done) == (["bulk_write", *["commit_transaction"] * 4], True)


def test_after_a_minute_nobody_knows(steps: CommitSteps, clock: FakeClock) -> None:
    finishing = steps.finish(DONE)
    assert isinstance(next(finishing), Call)
    assert isinstance(finishing.send(ONE), SessionCall)
    clock.seconds += 61
    with pytest.raises(DatabaseUnavailableError, match="does not say whether the job has committed"):
        finishing.throw(UNKNOWN)


def test_a_transaction_that_the_server_has_aborted_is_an_error(steps: CommitSteps) -> None:
    assert played(steps.finish(DONE), ONE, TRANSIENT) == (["bulk_write", "commit_transaction"], TRANSIENT)


def test_giving_up_aborts_and_removes_the_mark_whatever_fails(steps: CommitSteps) -> None:
    assert played(steps.give_up(FENCE, True), None, ONE) == (["abort_transaction", "update_one"], None)
    assert played(steps.give_up(FENCE, False), ONE) == (["update_one"], None)
    assert played(steps.give_up(FENCE, True), AutoReconnect("cut")) == (["abort_transaction"], None)


def test_the_end_removes_the_mark() -> None:
    update: Any = completion_update(DONE)
    assert "committing" in update._doc["$unset"]
    hooked = Completion(FENCE, Verdict(Transition.SUCCEED), commits=True, effects=("hook",))
    followed: Any = completion_update(hooked)
    assert "committing" in followed._doc[-1]["$unset"]


@pytest.mark.parametrize(
    ("found", "committed"),
    [
        ({"status": 3, "claim": FENCE.claim, "attempt": 2}, True),
        ({"status": 3, "claim": FENCE.claim, "attempt": 3}, False),
        ({"status": 3, "claim": "d", "attempt": 2}, False),
        ({"status": 2, "claim": FENCE.claim, "attempt": 2}, False),
        (None, False),
    ],
)
def test_a_job_has_committed_if_its_own_attempt_made_it_done(found: dict[str, Any] | None, committed: bool) -> None:
    assert is_committed(FENCE, found) == committed
