"""What a manager hears of its workers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from bson import ObjectId

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import packets
from taskscheduler_daemon.ipc.messages import Flag, Kind, Report, Run
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.pool.options import PoolOptions
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.worker_state import WorkerState
from taskscheduler_daemon.manager.worker_handle import WorkerHandle
from taskscheduler_daemon.manager.worker_messages import WorkerMessages


def test_a_worker_that_has_ended_in_the_same_moment_says_nothing_more() -> None:
    """One look at what is ready may tell of the death of a child first, and then that its socket can be read."""
    nothing = cast(Any, None)
    crew = cast(Any, SimpleNamespace(handles={}))
    mail = WorkerMessages(nothing, crew, nothing, nothing, 0.5, SYSTEM_CLOCK)
    mail.read(WorkerState(b"worker", 1234, single=False, forced=False))


def test_a_sign_of_life_that_says_nothing_is_not_passed_on() -> None:
    made, passed = Pool(PoolOptions.of({})), list[bytes]()
    crew = Assigner(made)
    uplink = cast(Any, SimpleNamespace(push=passed.append))
    runs = AsyncAttempts(crew.send, lambda *words: None, lambda run: None, 0.5)
    mail = WorkerMessages(made, crew, runs, uplink, 60.0, SYSTEM_CLOCK)
    member = made.spawned(ObjectId().binary, 1, forced=False)
    hands = crew.handles[1] = WorkerHandle()
    run = Run(ObjectId().binary, 1, 0, Flag.ASYNC, b"", silence=1.0)
    made.began(member, run, 0.0)
    for body in (b"", b"news"):
        packets.send(
            hands.worker_end, Report(Kind.PROGRESS, Ending.SUCCEEDED, run.job_id, 1, member.id, 0.0, body).encode()
        )
    mail.read(member)
    assert [Report.decode(message).body for message in passed] == [b"news"]
    assert member.async_runs[run.job_id].alive_at > 0
    hands.close()
