"""Innocent jobs never pay: a loss is charged only to a job that ran alone when its worker, manager or node died."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from tests.support.charged import AsyncKills, AsyncWorks, Works
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess
from tests.support.tables import rarely

from taskscheduler import Process, Scheduler, Status
from taskscheduler.operations.rescue import rescue
from taskscheduler.store.fence import Fence

StartNode = Callable[..., NodeProcess]

JOBS = ["tests.support.charged"]

KINDS = [Works.name, AsyncWorks.name]


class Story:
    """Jobs that trace their starts in one file."""

    def __init__(self, scheduler: Scheduler, directory: Path) -> None:
        self.scheduler = scheduler
        self.log, self.go = directory / "trace", directory / "go"

    def add(self, job: str, count: int = 1, **data: Any) -> list[Process]:
        return self.scheduler.add_jobs([(job, {"trace": str(self.log), "until": str(self.go), **data})] * count)

    def kill(self, job: str, what: str, after: float = 0.0) -> Process:
        (process,) = self.add(job, what=what, after=after)
        return process

    def starts(self, attempt: int | None = None) -> list[list[str]]:
        return [words for words in traces(self.log) if attempt is None or int(words[1]) == attempt]

    def await_starts(self, count: int, attempt: int | None = None) -> list[list[str]]:
        return eventually(lambda: len(found := self.starts(attempt)) >= count and found, 20, f"{count} starts")


@pytest.fixture
def story(scheduler: Scheduler, tmp_path: Path) -> Story:
    return Story(scheduler, tmp_path)


def facts(process: Process) -> tuple[Status, int]:
    """The status of a job, and how often it was charged."""
    process.refresh()
    return process.status, process.to_dict()["lost"]


def assert_innocent(processes: list[Process], timeout: float = 60.0) -> None:
    """All are done and none was charged, suspected or left with an error."""
    for process in processes:
        process.wait(timeout)
    assert {facts(process) for process in processes} == {(Status.DONE, 0)}
    assert all("suspect" not in process.to_dict() for process in processes)
    assert all("signalled" not in process.to_dict() for process in processes)


def assert_set_aside(process: Process, timeout: float = 60.0) -> None:
    process.wait(timeout)
    assert facts(process) == (Status.FAILED, 3)
    assert (process.error or {})["type"] == "PoisonedJobError"


def reasons(process: Process) -> list[str]:
    """Why the earlier attempts of a job were handed back."""
    process.refresh()
    assert {(entry["status"], entry["error"]) for entry in process.attempts[:-1]} <= {(None, None)}
    return [entry["reason"] for entry in process.attempts[:-1]]


# -- a worker ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [30, *rarely(1)])
def test_an_async_job_that_ends_its_worker_is_set_aside_and_no_other(
    story: Story, start_node: StartNode, others: int
) -> None:
    start_node(jobs=JOBS)
    innocent = story.add("async_works", others, seconds=2)
    story.await_starts(others)
    assert_set_aside(story.kill("async_kills", "worker"))
    assert_innocent(innocent)
    assert all(process.attempt <= 3 for process in innocent), "once beside it, and once alone at most"


def test_jobs_that_an_event_loop_had_not_begun_keep_their_attempt(story: Story, start_node: StartNode) -> None:
    """The first one that begins ends the process; the others were read and had not begun."""
    start_node(jobs=JOBS, min_children=0)
    guilty = story.kill("async_kills", "worker")
    innocent = story.add("async_works", 20, seconds=0)
    assert_set_aside(guilty)
    assert_innocent(innocent)
    begun = {(words[0], int(words[1])) for words in story.starts()}
    assert {(str(process.id), process.attempt) for process in innocent} <= begun
    for process in innocent:
        assert {entry["attempt"] for entry in process.attempts} <= {
            number for job, number in begun if job == str(process.id)
        }, "no attempt is counted that had not started"


@pytest.mark.parametrize("number", [signal.SIGTERM, *rarely(signal.SIGHUP)])
@pytest.mark.parametrize("kind", [KINDS[0], *rarely(*KINDS[1:])])
def test_a_signal_to_a_worker_is_charged_to_nobody(
    story: Story, start_node: StartNode, kind: str, number: signal.Signals
) -> None:
    start_node(jobs=JOBS)
    (process,) = story.add(kind)
    for attempt in range(1, 6):
        (start,) = story.await_starts(1, attempt)
        os.kill(int(start[2]), number)
    story.await_starts(1, 6)
    story.go.touch()
    assert_innocent([process])
    assert all("signal" in reason for reason in reasons(process))
    assert len(reasons(process)) == 5


def test_the_neighbours_of_a_job_that_does_not_end_at_its_timeout_are_handed_back_and_say_so(
    story: Story, start_node: StartNode
) -> None:
    start_node(jobs=JOBS)
    innocent = story.add("async_works", 5)
    story.await_starts(5)
    blocker = story.scheduler.add_job(AsyncKills, {"trace": "/dev/null", "what": "nothing"}, timeout=0.5)
    assert blocker.wait(20).status is Status.TIMEOUT
    story.await_starts(5, 2)
    story.go.touch()
    assert_innocent(innocent)
    assert {reason for process in innocent for reason in reasons(process)} == {
        "its worker was killed with another job, which did not end when it had to"
    }


@pytest.mark.parametrize("job", ["kills", "async_kills"])
def test_one_that_ran_alone_is_charged_at_once(story: Story, start_node: StartNode, job: str) -> None:
    start_node(jobs=JOBS)
    guilty = story.kill(job, "worker")
    assert_set_aside(guilty)
    assert len(story.starts()) == 3


# -- a manager --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [KINDS[0], *rarely(*KINDS[1:])])
@pytest.mark.parametrize("killer", ["kills", *rarely("async_kills")])
def test_a_job_that_kills_its_manager_beside_fifty_others_is_set_aside_and_no_other(
    story: Story, start_node: StartNode, kind: str, killer: str
) -> None:
    start_node(jobs=JOBS)
    innocent = story.add(kind, 25, seconds=0.2)
    guilty = story.kill(killer, "manager", after=0.1)
    innocent += story.add(kind, 25, seconds=0.2)
    assert_set_aside(guilty)
    assert_innocent(innocent)


def test_what_a_dead_manager_had_not_begun_is_no_suspect(story: Story, start_node: StartNode) -> None:
    node = start_node(jobs=JOBS, pm="static", min_children=2)
    processes = story.add("works", 2)
    story.await_starts(2)
    waiting = story.add("works", 1, seconds=0)
    os.kill(node.manager, signal.SIGKILL)
    eventually(lambda: [one.refresh().to_dict().get("suspect") for one in processes].count(None) == 0, 30)
    story.go.touch()
    assert_innocent([*processes, *waiting])
    assert [process.attempt for process in processes] == [2, 2]


def test_a_job_alone_in_a_manager_that_is_killed_is_charged(story: Story, start_node: StartNode) -> None:
    start_node(jobs=JOBS)
    assert_set_aside(story.kill("kills", "manager"))
    assert len(story.starts()) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, *rarely(signal.SIGHUP)])
def test_a_signal_to_the_manager_is_charged_to_nobody(
    story: Story, start_node: StartNode, number: signal.Signals
) -> None:
    node = start_node(jobs=JOBS, stop_timeout=0.1, pm="static", min_children=2)
    processes = story.add("works", 2)
    for attempt in range(1, 5):
        story.await_starts(2, attempt)
        os.kill(node.manager, number)
    story.await_starts(2, 5)
    story.go.touch()
    assert_innocent(processes)
    assert [len(reasons(process)) for process in processes] == [4, 4]


# -- a node -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, *rarely(signal.SIGHUP, signal.SIGINT)])
@pytest.mark.parametrize("kind", [KINDS[0], *rarely(*KINDS[1:])])
def test_a_signal_to_all_processes_of_a_node_is_charged_to_nobody(
    story: Story, start_node: StartNode, kind: str, number: signal.Signals
) -> None:
    """As systemd sends them by default, and `pkill -f`."""
    processes = story.add(kind, 2)
    options: dict[str, Any] = {"jobs": JOBS, "stop_timeout": 0.1, "pm": "static", "min_children": 2}
    node = start_node(**options)
    for attempt in range(1, 5):
        story.await_starts(2, attempt)
        for pid in [node.pid, *node.tree()]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if number != signal.SIGHUP:
            assert node.process.wait(20) == 0
            node = start_node(**options)
    story.await_starts(2, 5)
    story.go.touch()
    assert_innocent(processes)
    assert all(reasons(process) for process in processes)


def test_a_lease_that_ends_is_charged_to_nobody(story: Story, start_node: StartNode) -> None:
    """The node stands still, and its manager kills the jobs when it must."""
    node = start_node(jobs=JOBS, orphaned_timeout=1)
    (process,) = story.add("works")
    for attempt in range(1, 5):
        (start,) = story.await_starts(1, attempt)
        os.kill(node.pid, signal.SIGSTOP)
        try:
            eventually(lambda pid=start[2]: not os.path.exists(f"/proc/{pid}"), 30, "the end of the lease")  # type: ignore[misc]
        finally:
            os.kill(node.pid, signal.SIGCONT)
    story.await_starts(1, 5)
    story.go.touch()
    assert_innocent([process])
    assert set(reasons(process)) == {"the lease of its node ended while it ran"}


@pytest.mark.parametrize("whole", [False, *rarely(True)], ids=["the node alone", "with its workers"])
def test_a_node_that_was_only_taken_for_lost_takes_the_charge_back(
    story: Story, start_node: StartNode, whole: bool
) -> None:
    """Another node runs its job after the lease, and cannot know that it stands still and did not die."""
    nodes = [start_node(jobs=JOBS, orphaned_timeout=1, max_lost=2) for _ in range(2)]
    (process,) = story.add("works")
    for attempt in range(1, 5):
        story.await_starts(1, attempt)
        eventually(lambda: process.refresh().worker, 30, "it is known that it has begun")
        holder = next(node for node in nodes if node.log.stem == process.node)
        frozen = [holder.pid, *(holder.tree() if whole else [])]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            story.await_starts(1, attempt + 1)
        finally:
            for pid in frozen:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        eventually(lambda: facts(process)[1] == 0, 30, "the charge is taken back")
    story.go.touch()
    assert_innocent([process])
    assert set(reasons(process)) == {"the lease of its node ended while it ran"}


def lost_with(scheduler: Scheduler, boot: ObjectId, name: str, process: Process) -> Fence:
    """What a node held when another one has taken it for lost, and charged the only job that it ran."""
    store = scheduler.store
    assert store.claims.claim([process.id], f"claim of {name}", boot, name) == 1
    job = store.jobs.collection.find_one_and_update({"_id": process.id}, {"$set": {"worker": "w"}})
    assert job is not None
    rescue(store, boot, name, 3)
    return Fence(process.id, job["claim"], job["attempt"])


def retried(scheduler: Scheduler, process: Process) -> None:
    scheduler.cancel_job(process.id)
    scheduler.retry_job(process.id)


def restarted(scheduler: Scheduler, process: Process) -> None:
    scheduler.restart_service(process.job)


def retried_by_an_older_version(scheduler: Scheduler, process: Process) -> None:
    """It left the charge in the entry of the attempt."""
    scheduler.store.jobs.collection.update_one({"_id": process.id}, {"$set": {"lost": 0, "status": 0}})


@pytest.mark.parametrize(
    ("is_service", "reset"),
    [(False, retried), (False, retried_by_an_older_version), (True, restarted), (True, retried_by_an_older_version)],
)
def test_a_charge_that_counts_no_more_is_not_taken_back(
    scheduler: Scheduler, is_service: bool, reset: Callable[[Scheduler, Process], None]
) -> None:
    """Else the count falls below zero, and the job fails as one whose document cannot be used."""
    process = scheduler.start_service("parrot") if is_service else scheduler.add_job(Works, {})
    gone = lost_with(scheduler, ObjectId(), "a", process)
    assert facts(process)[1] == 1
    reset(scheduler, process)
    for _ in range(2):
        scheduler.store.leases.absolve([gone])
    assert facts(process) == (Status.WAITING, 0)


def test_a_job_that_has_ended_stays_as_it_ended(scheduler: Scheduler) -> None:
    process = scheduler.add_job(Works, {})
    gone = lost_with(scheduler, ObjectId(), "a", process)
    process.cancel()
    ended = process.refresh().to_dict()
    scheduler.store.leases.absolve([gone])
    assert process.refresh().to_dict() == ended


def test_only_its_own_charge_is_taken_back(scheduler: Scheduler) -> None:
    process = scheduler.add_job(Works, {})
    before = lost_with(scheduler, ObjectId(), "a", process)
    retried(scheduler, process)
    after = lost_with(scheduler, ObjectId(), "b", process)
    scheduler.store.leases.absolve([before])
    assert facts(process) == (Status.WAITING, 1)
    scheduler.store.leases.absolve([before, after])
    assert facts(process) == (Status.WAITING, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_killed_with_several_running_charges_nobody(story: Story, start_node: StartNode, kind: str) -> None:
    options: dict[str, Any] = {"jobs": JOBS, "orphaned_timeout": 1, "pm": "static", "min_children": 3}
    processes = story.add(kind, 3)
    node = start_node(**options)
    story.await_starts(3, 1)
    node.kill()
    start_node(**options)
    eventually(lambda: all(one.refresh().to_dict().get("suspect") for one in processes), 30, "three suspects")
    story.await_starts(1, 2)
    assert len(story.starts(2)) == 1, "each of them runs alone"
    story.go.touch()
    assert_innocent(processes)


def test_a_job_that_kills_its_nodes_is_found_out_beside_others(story: Story, start_node: StartNode) -> None:
    options: dict[str, Any] = {"jobs": JOBS, "orphaned_timeout": 1, "pm": "static", "min_children": 2}
    innocent = story.add("works", 1)
    guilty = story.kill("kills", "node", after=0.3)
    node = start_node(**options)
    story.await_starts(2, 1)
    node.process.wait(20)
    story.go.touch()
    innocent += story.add("works", 10, seconds=0.1)
    for _ in range(6):
        node = start_node(**options)
        eventually(lambda node=node: node.process.poll() is not None or guilty.refresh().status.is_final, 30)  # type: ignore[misc]
        if node.process.poll() is None:
            break
    assert_set_aside(guilty)
    assert_innocent(innocent)
