"""Which worker runs the async jobs, how they share workers with the others, and how single ones are ended."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from bson import ObjectId

from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.messages import Flag, Kind, Report, Run
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.pool.assignment import assignments
from taskscheduler_daemon.manager.pool.hand_back import STALE_SECONDS, async_to_hand_back, next_look, to_hand_back
from taskscheduler_daemon.manager.pool.options import PoolOptions
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.scaling import workers_to_spawn
from taskscheduler_daemon.manager.pool.worker_state import KillReason, WorkerState
from taskscheduler_daemon.system.exits import ChildExit

GRACE = 0.5


def run(flag: Flag = Flag.ASYNC, timeout: float = 0, silence: float = 0) -> Run:
    return Run(ObjectId().binary, 1, timeout, flag, b"", silence)


def pool(workers: int, most: int | None = None, each: int = 3) -> Pool:
    """A pool with so many workers that are ready."""
    made = Pool(PoolOptions.of({"min_children": 0, "max_children": most or workers, "async_jobs": each}))
    for pid in range(1, workers + 1):
        made.ready(made.spawned(ObjectId().binary, pid, forced=False), 0.0)
    return made


def assign(pool: Pool, now: float = 0.0) -> list[tuple[int, Flag]]:
    """What is handed over now: the worker and the kind of each run."""
    given = []
    for member, one in chain.from_iterable(assignments(pool)):
        pool.began(member, one, now)
        given.append((member.pid, Flag(one.flags)))
    return given


def accept(pool: Pool, *flags: Flag, now: float = 0.0) -> None:
    for flag in flags:
        pool.accept(run(flag), now)


ASYNC, SYNC = Flag.ASYNC, Flag.NONE


def test_async_runs_are_packed_into_one_worker_and_others_get_the_other_one() -> None:
    made = pool(2)
    accept(made, ASYNC, ASYNC, SYNC, ASYNC, ASYNC)
    given = assign(made)
    assert [flag for _, flag in given].count(ASYNC) == 3  # as many as one worker may have
    assert {pid for pid, flag in given if flag is ASYNC} != {pid for pid, flag in given if flag is SYNC}
    assert len(made.asynchronous.waiting) == 1


@pytest.mark.parametrize(("how", "value"), [("leaving", True), ("kill_reason", KillReason.RETURNED)])
def test_a_worker_that_goes_is_not_filled(how: str, value: object) -> None:
    made = pool(1)
    accept(made, ASYNC)
    assert len(assign(made)) == 1
    setattr(made.workers[1], how, value)
    accept(made, ASYNC)
    assert assign(made) == []


def test_the_fullest_worker_is_filled_first() -> None:
    made = pool(3)
    accept(made, *[ASYNC] * 5)
    assign(made)
    one, two, idle = made.workers.values()
    assert (len(one.async_runs), len(two.async_runs), len(idle.async_runs)) == (3, 2, 0)
    two.async_runs.popitem()
    one.async_runs.popitem()
    accept(made, ASYNC)
    assert assign(made) == [(one.pid, ASYNC)]


def test_the_last_worker_is_left_to_the_others() -> None:
    made = pool(2)
    accept(made, *[ASYNC] * 9)
    assign(made)
    assert len(made.asynchronous.waiting) == 6
    accept(made, SYNC)
    assert [flag for _, flag in assign(made)] == [SYNC]


def test_the_only_worker_goes_from_one_kind_to_the_other_in_the_order_of_arrival() -> None:
    made = pool(1)
    (member,) = made.workers.values()
    accept(made, ASYNC, now=0.0)
    accept(made, SYNC, now=1.0)
    accept(made, ASYNC, now=2.0)
    assert assign(made) == [(1, ASYNC)]  # not the second one, which came after the other
    assert to_hand_back(made, 3.0) is None
    member.async_runs.clear()
    assert assign(made) == [(1, SYNC)]
    made.ended(member, member.runs[0].job_id, 1, 0.001, 3.0)
    assert assign(made) == [(1, ASYNC)]


def test_workers_that_never_run_dry_are_shared_all_the_same() -> None:
    made = pool(2)
    accept(made, SYNC, SYNC)  # which are short: many are handed over ahead
    assign(made)
    for member in list(made.workers.values()):
        made.ended(member, member.runs[0].job_id, 1, 0.0001, 0.0)
    accept(made, *[SYNC] * 20)
    assign(made)
    accept(made, ASYNC, now=1.0)
    accept(made, *[SYNC] * 20, now=2.0)
    reserved = min(made.workers.values(), key=lambda member: len(member.runs))
    assert reserved.pid not in {pid for pid, _ in assign(made)}
    while reserved.runs:
        made.ended(reserved, reserved.runs[0].job_id, 1, 0.0001, 2.0)
    assert (reserved.pid, ASYNC) in assign(made)


def test_what_no_worker_has_room_for_goes_back_to_the_node() -> None:
    made = pool(2)
    accept(made, *[ASYNC] * 4)
    assign(made)
    assert not async_to_hand_back(made, STALE_SECONDS / 2)
    assert next_look(made, 0.0) <= STALE_SECONDS
    assert async_to_hand_back(made, STALE_SECONDS * 2)
    assert len(made.asynchronous.drain()) == 1
    assert not async_to_hand_back(made, STALE_SECONDS * 2)


@pytest.mark.parametrize(("waiting", "spawned"), [(0, 0), (1, 1), (3, 1), (4, 2), (7, 3), (100, 3)])
def test_workers_are_started_for_async_runs_but_not_the_last_one(waiting: int, spawned: int) -> None:
    made = pool(0, most=4)
    accept(made, *[ASYNC] * waiting)
    assert workers_to_spawn(made, 0.0) == (spawned, 0)


# -- the end of single ones -------------------------------------------------------------------------------------------


class Manager:
    """What the manager does for the async runs of one worker."""

    def __init__(self, *runs: Run) -> None:
        self.told: list[tuple[bytes, Status]] = []
        self.said: list[tuple[Ending, bytes]] = []
        self.errors: list[Any] = []
        self.pushed: list[bytes] = []
        self.left: list[bytes] = []
        self.runs = AsyncAttempts(self._tell, self._say, lambda run: self.left.append(run.job_id), GRACE)
        self.pool = pool(2)
        self.member: WorkerState = self.pool.workers[1]
        for one in runs:
            self.pool.began(self.member, one, 0.0)

    def _tell(self, member: WorkerState, message: bytes) -> None:
        self.told.append(messages.interruption(message))

    def _say(self, ending: Ending, of: Run, worker: bytes, seconds: float, **content: Any) -> None:
        self.said.append((ending, of.job_id))
        self.errors.append(content.get("error"))

    def report(self, of: Run, ending: Ending) -> bool:
        one = Report(Kind.REPORT, ending, of.job_id, of.attempt, self.member.id, 1.0, b"")
        return self.runs.ended(self.member, one, one.encode(), self.pushed.append)


def test_a_run_that_has_had_its_time_is_ended_alone() -> None:
    late, other = run(timeout=2), run()
    manager = Manager(late, other)
    assert manager.pool.next_event(0.0) == 2
    manager.runs.enforce_deadlines(manager.member, 1.9)
    assert manager.told == []
    manager.runs.enforce_deadlines(manager.member, 2.0)
    assert manager.told == [(late.job_id, Status.TIMEOUT)]
    assert manager.report(late, Ending.RETURNED)
    assert manager.said == [(Ending.TIMED_OUT, late.job_id)]
    assert manager.errors == [{"type": "JobTimeoutError", "message": "ran longer than 2 s"}]
    assert list(manager.member.async_runs) == [other.job_id]


def test_a_run_that_gives_no_sign_of_life_is_ended() -> None:
    quiet = run(silence=3)
    manager = Manager(quiet)
    manager.runs.alive(manager.member, quiet.job_id, 2.0)
    manager.runs.enforce_deadlines(manager.member, 4.9)
    assert manager.told == []
    assert manager.pool.next_event(4.9) == 5.0
    manager.runs.enforce_deadlines(manager.member, 5.0)
    assert manager.report(quiet, Ending.RETURNED)
    assert manager.said == [(Ending.TIMED_OUT, quiet.job_id)]
    assert manager.errors == [{"type": "JobTimeoutError", "message": "gave no sign of life for 3 s"}]


def test_what_a_job_made_of_its_end_in_time_counts() -> None:
    late = run(timeout=2)
    manager = Manager(late)
    manager.runs.enforce_deadlines(manager.member, 2.0)
    assert manager.report(late, Ending.SUCCEEDED)
    assert (len(manager.pushed), manager.said) == (1, [])


def test_of_a_cancelled_run_nothing_is_said() -> None:
    one = run()
    manager = Manager(one)
    manager.runs.end(manager.member, one.job_id, KillReason.CANCELED, 0.0)
    manager.runs.end(manager.member, one.job_id, KillReason.RETURNED, 0.1)
    assert manager.told == [(one.job_id, Status.CANCELED)]
    assert manager.report(one, Ending.RETURNED)
    assert (manager.pushed, manager.said) == ([], [])
    assert not manager.report(one, Ending.RETURNED)


def test_a_worker_whose_loop_does_not_obey_is_killed_and_only_the_guilty_pays() -> None:
    late, other, canceled = run(timeout=2), run(), run()
    manager = Manager(late, other, canceled)
    manager.runs.end(manager.member, canceled.job_id, KillReason.CANCELED, 1.9)
    manager.runs.enforce_deadlines(manager.member, 2.0)
    assert manager.member.kill_at == float("inf")
    manager.runs.enforce_deadlines(manager.member, 2.0 + GRACE)
    assert manager.member.kill_at <= 2.0 + GRACE
    assert manager.member.leaving
    manager.runs.report_crash(manager.member, ChildExit(1, None, 9, 0), 3.0)
    assert manager.said == [(Ending.TIMED_OUT, late.job_id), (Ending.RETURNED, other.job_id)]


def test_the_runs_of_a_worker_that_died_are_lost() -> None:
    one, doomed = run(), run()
    manager = Manager(one, doomed)
    manager.runs.end(manager.member, doomed.job_id, KillReason.RETURNED, 0.0)
    manager.runs.report_crash(manager.member, ChildExit(1, None, 9, 0), 1.0)
    assert manager.said == [(Ending.LOST, one.job_id), (Ending.RETURNED, doomed.job_id)]


def test_one_that_was_cancelled_before_its_worker_has_read_it_does_not_begin_in_another() -> None:
    """An event loop that another job blocks reads nothing until its worker is killed."""
    made, gone = pool(1), list[Run]()
    runs = AsyncAttempts(lambda member, message: None, lambda *words, **content: None, gone.append, GRACE)
    accept(made, ASYNC, ASYNC)
    assign(made)
    (member,) = made.workers.values()
    canceled, other = (entry.run for entry in member.async_runs.values())
    runs.end(member, canceled.job_id, KillReason.CANCELED, 1.0)
    made.recalled(member, [canceled, other], 2.0)
    assert [entry.run for entry in made.asynchronous.waiting] == [other]
    runs.report_crash(member, ChildExit(1, None, 9, 0), 2.0)
    assert gone == [canceled]
