"""Scripted histories of a pool: who gets which job, who is started, who gives work back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId

from taskscheduler_daemon.ipc.messages import Flag, Run
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.commands import NodeCommands
from taskscheduler_daemon.manager.pool.assignment import assignments, depth, steal_from
from taskscheduler_daemon.manager.pool.boot_backoff import MOST_BOOT_FAILURES
from taskscheduler_daemon.manager.pool.hand_back import STALE_SECONDS, next_look, to_hand_back
from taskscheduler_daemon.manager.pool.options import PoolOptions
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.scaling import spare_workers, workers_to_spawn
from taskscheduler_daemon.manager.pool.worker_state import KillReason, WorkerState
from taskscheduler_daemon.manager.worker_handle import WorkerHandle

FOREVER = float("inf")


class Story:
    """A pool, a clock that only we move, and short words for what happens."""

    def __init__(self, **options: Any) -> None:
        self.pool = Pool(PoolOptions.of(options))
        self.now = 1000.0
        self.pids = iter(range(100, 10_000))

    def spawn(self) -> list[WorkerState]:
        """Start what the pool asks for."""
        ordinary, forced = workers_to_spawn(self.pool, self.now)
        made = [self.pool.spawned(ObjectId().binary, next(self.pids), False) for _ in range(ordinary)]
        return made + [self.pool.spawned(ObjectId().binary, next(self.pids), True) for _ in range(forced)]

    def boot(self) -> list[WorkerState]:
        members = self.spawn()
        for member in members:
            self.pool.ready(member, self.now)
        return members

    def accept(self, *runs: Run) -> None:
        for run in runs:
            self.pool.accept(run, self.now)

    def assign(self) -> list[tuple[int, Run]]:
        handed = []
        for member, run in chain.from_iterable(assignments(self.pool)):
            self.pool.began(member, run, self.now)
            handed.append((member.pid, run))
        return handed

    def end(self, member: WorkerState, seconds: float = 1.0) -> Run | None:
        assert member.running is not None
        return self.pool.ended(member, member.running.job_id, member.running.attempt, seconds, self.now)

    def learn(self, seconds: float) -> None:
        """Let the pool believe that jobs take so long."""
        member = WorkerState(b"", 0, single=False)
        member.runs.append(a_run())
        assert self.end(member, seconds) is not None


def a_run(timeout: float = 0, flags: int = 0, attempt: int = 1) -> Run:
    return Run(ObjectId().binary, attempt, timeout, flags, b"")


def forced_run() -> Run:
    return a_run(flags=Flag.FORCED)


# -- handing out ------------------------------------------------------------------------------------------------------


def test_jobs_are_handed_out_in_the_order_of_their_arrival() -> None:
    story = Story(min_children=2)
    story.boot()
    first, second = a_run(), a_run()
    story.accept(first, second)
    assert [run for _, run in story.assign()] == [first, second]


def test_a_worker_that_is_not_ready_gets_nothing() -> None:
    story = Story()
    [member] = story.spawn()
    story.accept(a_run())
    assert story.assign() == []
    story.pool.ready(member, story.now)
    assert len(story.assign()) == 1


@pytest.mark.parametrize("how", ["leaving", "kill_reason"])
def test_a_worker_that_goes_gets_nothing(how: str) -> None:
    story = Story()
    [member] = story.boot()
    setattr(member, how, True if how == "leaving" else KillReason.CANCELED)
    story.accept(a_run())
    assert story.assign() == []


def test_as_long_as_nothing_is_known_a_worker_gets_one_job_at_a_time() -> None:
    story = Story()
    [member] = story.boot()
    story.accept(a_run(), a_run())
    assert len(story.assign()) == 1
    assert depth(story.pool) == 1
    story.end(member, seconds=1.0)
    assert len(story.assign()) == 1


def test_the_least_loaded_worker_gets_the_next_job() -> None:
    story = Story(min_children=3, max_children=3)
    one, two, three = story.boot()
    story.learn(0.001)
    story.pool.began(one, a_run(), story.now)
    story.pool.began(one, a_run(), story.now)
    story.pool.began(two, a_run(), story.now)
    story.accept(*(a_run() for _ in range(3)))
    assert [pid for pid, _ in story.assign()] == [three.pid, two.pid, three.pid]


@pytest.mark.parametrize(
    ("seconds", "expected"), [(10, 1), (0.0051, 1), (0.005, 3), (0.001, 11), (0.0001, 64), (0.00001, 64)]
)
def test_a_worker_is_handed_ten_milliseconds_of_work_ahead(seconds: float, expected: int) -> None:
    story = Story()
    story.boot()
    story.learn(seconds)
    assert depth(story.pool) == expected
    story.accept(*(a_run() for _ in range(100)))
    assert len(story.assign()) == expected


def test_the_newest_jobs_weigh_most_in_what_is_expected() -> None:
    story = Story()
    story.learn(10)
    for _ in range(100):
        story.learn(0.001)
    assert depth(story.pool) > 1
    story.learn(10)
    assert depth(story.pool) == 1


def test_jobs_that_were_put_back_are_first_in_the_line_again() -> None:
    story = Story()
    [member] = story.boot()
    story.learn(0.001)
    runs = [a_run() for _ in range(5)]
    story.accept(*runs)
    story.assign()
    later = a_run()
    story.accept(later)
    story.pool.recalled(member, runs[1:], story.now)
    assert list(member.runs) == runs[:1]
    assert [entry.run for entry in story.pool.waiting] == [*runs[1:], later]


def test_runs_in_the_middle_can_be_taken_back() -> None:
    story = Story()
    [member] = story.boot()
    story.learn(0.001)
    runs = [a_run() for _ in range(4)]
    story.accept(*runs)
    story.assign()
    story.pool.recalled(member, [runs[1], runs[3]], story.now)
    assert list(member.runs) == [runs[0], runs[2]]
    assert [entry.run for entry in story.pool.waiting] == [runs[1], runs[3]]


# -- ends -------------------------------------------------------------------------------------------------------------


def test_the_end_of_a_job_frees_its_worker() -> None:
    story = Story()
    [member] = story.boot()
    run = a_run()
    story.accept(run)
    story.assign()
    assert not member.free
    assert story.end(member) is run
    assert member.free


def test_a_report_that_does_not_belong_to_the_running_job_is_refused() -> None:
    story = Story()
    [member] = story.boot()
    run = a_run(attempt=2)
    story.accept(run)
    story.assign()
    assert story.pool.ended(member, ObjectId().binary, 2, 1, story.now) is None
    assert story.pool.ended(member, run.job_id, 1, 1, story.now) is None
    assert member.running is run
    assert story.pool.ended(member, run.job_id, 2, 1, story.now) is run
    assert story.pool.ended(member, run.job_id, 2, 1, story.now) is None


def test_the_holder_of_a_job_is_found_and_a_waiting_one_can_be_removed() -> None:
    story = Story()
    [member] = story.boot()
    running, waiting, forced = a_run(), a_run(), forced_run()
    story.accept(running, waiting, forced)
    story.assign()
    assert story.pool.holder(running.job_id) is member
    assert story.pool.holder(waiting.job_id) is None
    assert not story.pool.remove_waiting(running.job_id)
    assert story.pool.remove_waiting(waiting.job_id)
    assert not story.pool.remove_waiting(waiting.job_id)
    assert story.pool.remove_waiting(forced.job_id)
    assert not story.pool.waiting
    assert not story.pool.forced


def test_who_looks_for_a_job_does_not_find_its_hook() -> None:
    story = Story()
    [member] = story.boot()
    running, waiting = (a_run()._replace(flags=Flag.HOOK, attempt=0) for _ in range(2))
    story.accept(running, waiting)
    story.assign()
    assert member.running is running
    assert story.pool.holder(running.job_id) is None
    assert not story.pool.remove_waiting(waiting.job_id)


# -- work that is handed over to idle workers or back to the node -----------------------------------------------------


def loaded(story: Story, member: WorkerState, count: int) -> list[Run]:
    runs = [a_run() for _ in range(count)]
    for run in runs:
        story.pool.began(member, run, story.now)
    return runs


def test_an_idle_worker_makes_the_most_loaded_one_a_victim() -> None:
    story = Story(min_children=3, max_children=3)
    one, two, _ = story.boot()
    loaded(story, one, 2)
    loaded(story, two, 3)
    assert steal_from(story.pool) is two


def test_there_is_no_victim_while_jobs_wait_or_nobody_is_idle() -> None:
    story = Story(min_children=2)
    one, two = story.boot()
    loaded(story, one, 3)
    story.accept(a_run())
    assert steal_from(story.pool) is None
    story.pool.remove_waiting(story.pool.waiting[0].run.job_id)
    assert steal_from(story.pool) is one
    loaded(story, two, 1)
    assert steal_from(story.pool) is None


def test_the_job_that_runs_is_nobody_elses() -> None:
    story = Story(min_children=2)
    one, _ = story.boot()
    loaded(story, one, 1)
    assert steal_from(story.pool) is None


def test_work_behind_a_long_job_is_stale() -> None:
    story = Story()
    [member] = story.boot()
    loaded(story, member, 2)
    assert to_hand_back(story.pool, story.now) is None
    assert to_hand_back(story.pool, story.now + STALE_SECONDS) is None
    assert to_hand_back(story.pool, story.now + STALE_SECONDS + 0.01) == [member]


def test_waiting_work_is_stale_when_no_worker_can_be_started_for_it() -> None:
    story = Story(max_children=1)
    [member] = story.boot()
    loaded(story, member, 1)
    story.accept(a_run())
    assert to_hand_back(story.pool, story.now + 1) == []


def test_nothing_is_stale_while_a_worker_is_idle_or_finishing_jobs_or_the_pool_stops() -> None:
    story = Story(min_children=2)
    one, two = story.boot()
    loaded(story, one, 2)
    assert to_hand_back(story.pool, story.now + 1) is None  # `two` is idle
    loaded(story, two, 1)
    assert to_hand_back(story.pool, story.now + 1) == [one]
    two.since = story.now + 0.95
    assert to_hand_back(story.pool, story.now + 1) is None  # `two` moves
    two.since = story.now
    story.pool.stopping = True
    assert to_hand_back(story.pool, story.now + 1) is None


# -- how many workers -------------------------------------------------------------------------------------------------


def test_a_dynamic_pool_starts_with_its_least_number_and_grows_with_the_work() -> None:
    story = Story(min_children=2, max_children=4)
    assert len(story.boot()) == 2
    assert story.spawn() == []
    story.accept(*(a_run() for _ in range(3)))
    assert len(story.boot()) == 1
    story.accept(*(a_run() for _ in range(10)))
    assert len(story.boot()) == 1
    assert story.spawn() == []
    assert len(story.pool.workers) == 4


def test_a_dynamic_pool_with_no_children_at_least_starts_one_for_the_first_job() -> None:
    story = Story(min_children=0)
    assert story.spawn() == []
    story.accept(a_run())
    assert len(story.spawn()) == 1


def test_a_static_pool_has_always_the_same_number() -> None:
    story = Story(pm="static", min_children=3, max_children=1)
    assert len(story.boot()) == 3
    story.accept(*(a_run() for _ in range(10)))
    assert story.spawn() == []
    assert spare_workers(story.pool) == 0


def test_an_ondemand_pool_starts_a_worker_per_job_and_no_more_than_allowed() -> None:
    story = Story(pm="ondemand", max_children=2)
    assert story.spawn() == []
    story.accept(a_run())
    assert len(story.boot()) == 1
    story.accept(a_run(), a_run())
    assert len(story.boot()) == 1
    assert story.spawn() == []


def test_an_ondemand_worker_ends_after_its_job() -> None:
    story = Story(pm="ondemand", max_children=1)
    story.accept(a_run(), a_run())
    [member] = story.boot()
    assert len(story.assign()) == 1
    assert member.leaving
    story.end(member)
    assert story.assign() == []
    assert story.spawn() == []  # the limit counts it until it is gone
    story.pool.exited(member.pid, story.now)
    assert len(story.boot()) == 1


@pytest.mark.parametrize("pm", ["dynamic", "static"])
def test_a_dead_worker_is_replaced_at_once(pm: str) -> None:
    story = Story(pm=pm, min_children=2)
    one, _ = story.boot()
    story.pool.exited(one.pid, story.now)
    assert len(story.spawn()) == 1


def test_a_worker_that_leaves_is_replaced_within_the_limits() -> None:
    story = Story(min_children=1, max_children=2)
    [one] = story.boot()
    one.leaving = True
    assert len(story.boot()) == 1
    assert story.spawn() == []


def test_a_stopping_pool_starts_nobody() -> None:
    story = Story(min_children=2)
    story.accept(a_run(), forced_run())
    story.pool.stopping = True
    assert story.spawn() == []


# -- forced jobs ------------------------------------------------------------------------------------------------------


def test_a_forced_job_gets_a_worker_of_its_own_beyond_the_limits() -> None:
    story = Story(pm="static", min_children=1)
    [ordinary] = story.boot()
    loaded(story, ordinary, 1)
    run = forced_run()
    story.accept(run)
    [extra] = story.boot()
    assert (extra.forced, extra.single) == (True, True)
    assert story.assign() == [(extra.pid, run)]
    assert extra.leaving
    assert story.spawn() == []


def test_every_forced_job_gets_one_worker_even_before_it_is_ready() -> None:
    story = Story()
    story.boot()
    story.accept(forced_run(), forced_run())
    assert [member.forced for member in story.spawn()] == [True, True]
    assert story.spawn() == []
    story.accept(forced_run())
    assert len(story.spawn()) == 1


def test_a_forced_job_does_not_run_in_an_ordinary_worker_nor_the_other_way_round() -> None:
    story = Story(min_children=0, max_children=1)
    story.accept(forced_run())
    [extra] = story.boot()
    ordinary = a_run()
    story.pool.forced.clear()
    story.accept(ordinary)
    assert story.assign() == []
    [member] = story.boot()
    story.accept(forced_run())
    assert dict(story.assign())[member.pid] is ordinary
    assert not extra.free


def test_a_forced_job_taken_back_waits_in_its_own_line() -> None:
    story = Story()
    run = forced_run()
    story.pool.requeue([run], story.now)
    assert [entry.run for entry in story.pool.forced] == [run]
    assert not story.pool.waiting


# -- workers that cannot be built -------------------------------------------------------------------------------------


def test_workers_that_die_before_they_are_ready_are_started_ever_later() -> None:
    story = Story()
    pauses = []
    for _ in range(4):
        [member] = story.spawn()
        story.pool.exited(member.pid, story.now)
        assert workers_to_spawn(story.pool, story.now) == (0, 0)
        again = story.pool.next_event(story.now)
        pauses.append(again - story.now)
        story.now = again
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert not story.pool.boot_backoff.broken


def test_a_pool_is_broken_when_no_worker_can_be_built_again_and_again() -> None:
    story = Story()
    for _ in range(MOST_BOOT_FAILURES):
        assert not story.pool.boot_backoff.broken
        [member] = story.spawn()
        story.pool.exited(member.pid, story.now)
        story.now += 10
    assert story.pool.boot_backoff.broken


def test_one_worker_that_can_be_built_ends_the_doubts() -> None:
    story = Story()
    for _ in range(MOST_BOOT_FAILURES - 1):
        [member] = story.spawn()
        story.pool.exited(member.pid, story.now)
        story.now += 10
    [member] = story.boot()
    story.pool.exited(member.pid, story.now)
    assert not story.pool.boot_backoff.broken
    assert workers_to_spawn(story.pool, story.now) == (1, 0)


def test_the_end_of_a_stranger_is_nothing_to_the_pool() -> None:
    story = Story()
    story.boot()
    assert story.pool.exited(99_999, story.now) is None
    assert len(story.pool.workers) == 1


# -- time -------------------------------------------------------------------------------------------------------------


def test_a_job_times_out_after_its_time_and_not_that_of_the_one_before() -> None:
    story = Story()
    [member] = story.boot()
    story.learn(0.001)
    story.accept(a_run(timeout=5), a_run(timeout=2))
    story.assign()
    assert member.times_out_at() == story.now + 5
    story.now += 4
    story.end(member)
    assert member.times_out_at() == story.now + 2
    assert story.pool.next_event(story.now) == story.now + 2


def test_a_job_is_silent_since_its_start_or_its_last_sign_of_life() -> None:
    story = Story()
    [member] = story.boot()
    member.alive_at = story.now - 1  # a sign of the job before
    story.pool.began(member, a_run(flags=Flag.WATCHED)._replace(silence=3.0), story.now)
    assert member.silent_at() == story.now + 3
    member.alive_at = story.now + 2
    assert member.silent_at() == story.now + 5
    assert story.pool.next_event(story.now) == story.now + 5
    member.kill_reason = KillReason.CANCELED
    assert member.silent_at() == FOREVER


def test_a_job_without_a_limit_never_times_out() -> None:
    story = Story()
    [member] = story.boot()
    assert member.times_out_at() == FOREVER
    story.accept(a_run())
    story.assign()
    assert member.times_out_at() == FOREVER
    assert story.pool.next_event(story.now) == FOREVER


def test_a_doomed_worker_does_not_time_out_once_more() -> None:
    story = Story()
    [member] = story.boot()
    story.accept(a_run(timeout=1))
    story.assign()
    member.kill_reason = KillReason.TIMED_OUT
    member.kill_at = story.now + 0.5
    assert member.times_out_at() == FOREVER
    assert story.pool.next_event(story.now) == story.now + 0.5


@pytest.mark.parametrize("run", [a_run(), forced_run()])
def test_the_pool_is_looked_at_again_while_work_waits(run: Run) -> None:
    story = Story()
    story.accept(run)
    assert story.now < next_look(story.pool, story.now) <= story.now + STALE_SECONDS


# -- a crew over a pool -----------------------------------------------------------------------------------------------


@pytest.fixture
def ondemand() -> Iterator[tuple[Pool, Assigner, WorkerState, Run]]:
    """A job has been sent to the only worker, which has not read it yet. Nothing is forked."""
    pool, run = Pool(PoolOptions.of({"pm": "ondemand", "max_children": 1})), a_run()
    crew = Assigner(pool)
    pool.accept(run, 0.0)
    member = pool.spawned(ObjectId().binary, 0, False)
    hands = crew.handles[member.pid] = WorkerHandle()
    pool.ready(member, 0.0)
    crew.assign(0.0)
    assert list(member.runs) == [run]
    yield pool, crew, member, run
    hands.close()


def test_a_cancelled_job_that_its_worker_has_not_read_yet_never_runs(
    ondemand: tuple[Pool, Assigner, WorkerState, Run],
) -> None:
    pool, crew, member, run = ondemand
    left: list[Run] = []
    nothing, uplink = cast(Any, None), cast(Any, SimpleNamespace(released=left.append))
    NodeCommands(pool, crew, nothing, nothing, uplink).cancel(run.job_id, 1.0)
    assert left == [run]
    assert run not in member.runs
    assert [entry.run for entry in pool.waiting] == []


def test_a_worker_for_one_job_whose_job_was_taken_back_does_not_block_the_pool(
    ondemand: tuple[Pool, Assigner, WorkerState, Run],
) -> None:
    pool, crew, member, run = ondemand
    crew.recall(member, 1.0)
    inbox = crew.handles[member.pid].worker_end
    inbox.setblocking(False)
    try:
        told_to_go = inbox.recv(1) == b""
    except BlockingIOError:
        told_to_go = False
    assert told_to_go or list(chain.from_iterable(assignments(pool))) == [(member, run)]


def test_an_event_loop_that_takes_no_more_does_not_keep_jobs_from_the_other_workers() -> None:
    story = Story(min_children=2)
    crew = Assigner(story.pool)
    crew.handles.update({member.pid: WorkerHandle() for member in story.boot()})
    large = Run(ObjectId().binary, 1, 0, Flag.ASYNC, bytes(10_000))
    story.accept(*[large._replace(job_id=ObjectId().binary) for _ in range(90)], a_run())
    crew.assign(story.now)
    assert story.pool.asynchronous.waiting, "its socket is full"
    assert not story.pool.waiting
    assert [len(member.runs) for member in story.pool.workers.values()].count(1) == 1
    for hands in crew.handles.values():
        hands.close()
