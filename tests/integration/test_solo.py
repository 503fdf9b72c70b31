"""Solo jobs: of those that share a key never two at once, whatever dies, and none is forgotten."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from tests.support.eventually import eventually
from tests.support.jobs import trace, traces
from tests.support.nodes import NodeProcess
from tests.support.tables import rarely

from taskscheduler import InvalidJobError, InvalidOptionError, InvalidStateError, Job, Scheduler, Status, job
from taskscheduler.clock import SYSTEM_CLOCK, SystemClock
from taskscheduler.store.control import admission
from taskscheduler.store.fence import Fence

Documents = Database[dict[str, Any]]
StartNode = Callable[..., NodeProcess]
HERE = {"jobs": ["tests.support.jobs", "tests.integration.test_solo"]}


class Spans(Job):
    """Traces when it began and ended, on the monotonic clock that all processes of a host share."""

    name = "solo.spans"
    solo = True

    def start(self) -> None:
        began = SYSTEM_CLOCK.monotonic()
        while SYSTEM_CLOCK.monotonic() < began + 0.003:
            pass
        trace(self.data, self.id, began, SYSTEM_CLOCK.monotonic())


class Flaps(Job):
    """Traces its spans; fails as often as its data says."""

    name = "solo.flaps"
    solo = "flapping"

    def start(self) -> None:
        began = SYSTEM_CLOCK.monotonic()
        trace(self.data["trace"], self.id, began, SYSTEM_CLOCK.monotonic())
        if self.attempt <= self.data["fails"]:
            raise RuntimeError("not yet")


class Heedless(Job):
    """An async job that goes on although it is cancelled."""

    name = "solo.heedless"

    async def start(self) -> None:
        trace(self.data, self.id, self.attempt, os.getpid())
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)


@job(name="solo.function", solo="of functions")
def function() -> None: ...


def overlaps(path: Path) -> list[tuple[float, float]]:
    """Where a job began before the one before it had ended."""
    spans = sorted((float(words[1]), float(words[2])) for words in traces(path))
    return [(first[1], second[0]) for first, second in pairwise(spans) if second[0] < first[1]]


def statuses(scheduler: Scheduler, ids: Iterable[ObjectId]) -> list[str]:
    return [scheduler.get_job(one).status.label for one in ids]


def wait_job(scheduler: Scheduler, path: Path, until: Path, **options: Any) -> Any:
    return scheduler.add_job("wait", {"trace": str(path), "until": str(until)}, solo="waiting", **options)


# -- what it is -------------------------------------------------------------------------------------------------------


def test_the_option_the_class_and_the_decorator_make_a_job_solo(scheduler: Scheduler) -> None:
    assert scheduler.add_job("noop", solo=True).options["solo"] == "noop"
    assert scheduler.add_job("noop", solo="key").options["solo"] == "key"
    assert scheduler.add_job(Spans).options["solo"] == "solo.spans"
    assert scheduler.add_job(function).options["solo"] == "of functions"
    assert "solo" not in scheduler.add_job(Spans, solo=False).to_dict()


def test_a_plain_job_is_stored_as_ever(scheduler: Scheduler, database: Documents) -> None:
    document = scheduler.add_job("noop").refresh().to_dict()
    assert not {"solo", "gate", "gate_until", "parked_at"} & set(document)
    assert "solo" not in document["options"]
    indexes = {entry["name"]: entry for entry in database["taskscheduler.jobs"].list_indexes()}
    assert "sequence" not in indexes
    for name in ("gate", "blocked"):
        assert database.command("validate", "taskscheduler.jobs")["keysPerIndex"][name] == 0
        assert indexes[name]["partialFilterExpression"]


@pytest.mark.parametrize("value", ["", 1, "x" * 201, ["a"]])
def test_a_key_that_is_none_is_refused_at_the_call(scheduler: Scheduler, value: Any) -> None:
    with pytest.raises(InvalidOptionError, match="option solo must be a boolean, or a text"):
        scheduler.add_job("noop", solo=value)


def test_a_class_with_a_key_that_is_none_is_refused_where_it_is_written() -> None:
    with pytest.raises(InvalidJobError, match="Wrong: option solo must be"):
        type("Wrong", (Job,), {"name": "solo.wrong", "solo": 3, "__qualname__": "Wrong"})


# -- one after the other ----------------------------------------------------------------------------------------------


def test_of_many_jobs_on_three_nodes_no_two_overlap_and_all_run(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    path = tmp_path / "spans"
    added = scheduler.add_jobs([(Spans, str(path))] * 40)
    for _ in range(3):
        start_node(**HERE)
    added += [scheduler.add_job(Spans, str(path)) for _ in range(40)]
    scheduler.wait_for(added, throw=True, timeout=60)
    assert len(traces(path)) == 80
    assert overlaps(path) == []


def test_with_places_of_their_own_they_do_overlap(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above is worth: the places in the unique index decide."""
    start_node(**HERE)
    monkeypatch.setattr(admission, "gate_of", lambda keys, places: [f"{place} {ObjectId()}" for place in places])
    running = tmp_path / "running"
    added = [wait_job(scheduler, running, tmp_path / "until") for _ in range(2)]
    eventually(lambda: len(traces(running)) == 2, 20)
    (tmp_path / "until").touch()
    scheduler.wait_for(added, timeout=20)


def test_the_next_one_is_that_of_the_highest_priority_then_the_oldest(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    path, until = tmp_path / "order", tmp_path / "until"
    first = wait_job(scheduler, path, until)
    low = [scheduler.add_job("trace", str(path), solo="waiting") for _ in range(3)]
    high = scheduler.add_job("trace", str(path), solo="waiting", priority=5)
    assert statuses(scheduler, [first.id, high.id]) == ["waiting", "postponed"]
    until.touch()
    start_node(**HERE)
    scheduler.wait_for([first, high, *low], throw=True, timeout=20)
    assert [words[0] for words in traces(path)] == [str(one.id) for one in [first, high, *low]]


def test_a_parked_job_shows_its_real_time(scheduler: Scheduler) -> None:
    scheduler.add_job(Spans, "a")
    parked = scheduler.add_job(Spans, "b").refresh()
    assert parked.status is Status.POSTPONED
    assert parked.at is not None
    assert parked.created is not None
    assert abs((parked.at - parked.created).total_seconds()) < 5
    at = parked.at
    parked.cancel()
    assert parked.at == at
    assert not {"parked_at", "gate"} & set(parked.to_dict())


def test_thousands_of_parked_jobs_delay_nobody(
    scheduler: Scheduler, database: Documents, start_node: StartNode, tmp_path: Path
) -> None:
    path, until = tmp_path / "running", tmp_path / "until"
    wait_job(scheduler, path, until)
    scheduler.add_jobs([("noop", None, {"solo": "waiting", "at": 1_000_000_000})] * 5000)
    start_node(**HERE)
    eventually(lambda: traces(path), 20)
    began = SYSTEM_CLOCK.monotonic()
    scheduler.add_job("noop", at=SYSTEM_CLOCK.now().timestamp() + 0.1).wait(timeout=20, throw=True)
    assert SYSTEM_CLOCK.monotonic() - began < 5
    assert database["taskscheduler.jobs"].count_documents({"parked_at": {"$exists": True}}) == 5000
    scheduler.flush()


# -- with the other options -------------------------------------------------------------------------------------------


def test_retries_at_and_intervals_wait_for_their_turn(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    path = tmp_path / "spans"
    soon = SYSTEM_CLOCK.now().timestamp() + 0.5
    jobs = [
        scheduler.add_job(Flaps, {"trace": str(path), "fails": 2}, retry=2, retry_interval=0.05),
        scheduler.add_job(Flaps, {"trace": str(path), "fails": 2}, retry=2, retry_interval=0),
        scheduler.add_job(Flaps, {"trace": str(path), "fails": 0}, at=soon),
        scheduler.add_job(Flaps, {"trace": str(path), "fails": 1}),
    ]
    series = scheduler.add_job(Flaps, {"trace": str(path), "fails": 0}, interval=-1)
    start_node(**HERE)
    scheduler.wait_for(jobs, timeout=30)
    assert statuses(scheduler, [one.id for one in jobs]) == ["done", "done", "done", "failed"]
    eventually(lambda: len(traces(path)) >= 20, 20, "runs of the series")
    scheduler.cancel_job(series.id)
    assert overlaps(path) == []


def test_add_job_once_gives_the_one_that_is_parked(scheduler: Scheduler) -> None:
    scheduler.add_job(Spans, "a")
    parked = scheduler.add_job_once(Spans, "b")
    again = scheduler.add_job_once(Spans, "b")
    assert (again.id, again.outcome) == (parked.id, "existing")
    other = scheduler.add_job_once(Spans, "b", solo="another")
    assert (other.outcome, other.refresh().status) == ("replaced", Status.WAITING)
    assert parked.refresh().status is Status.CANCELED


def test_whoever_cancels_or_deletes_the_first_lets_the_next_in(scheduler: Scheduler) -> None:
    first, second, third = (scheduler.add_job(Spans, one).id for one in "abc")
    scheduler.cancel_job(first)
    assert statuses(scheduler, [second, third]) == ["waiting", "postponed"]
    scheduler.delete_job(second)
    assert statuses(scheduler, [third]) == ["waiting"]


def test_a_job_that_is_tried_again_waits_for_its_turn(scheduler: Scheduler, start_node: StartNode) -> None:
    first, second = (scheduler.add_job(Spans, one).id for one in "ab")
    scheduler.cancel_job(first)
    assert scheduler.retry_job(first).status is Status.POSTPONED
    assert statuses(scheduler, [first, second]) == ["postponed", "waiting"]
    scheduler.cancel_job(second)
    assert statuses(scheduler, [first]) == ["waiting"]


def test_a_failed_child_lets_the_one_behind_its_parent_in(scheduler: Scheduler, start_node: StartNode) -> None:
    parent = scheduler.add_job("noop", solo="family", queue="unserved")
    behind = scheduler.add_job("noop", solo="family")
    child = scheduler.add_job("fail", parent=parent.id)
    start_node(queues=["default"])
    scheduler.wait_for([parent, behind, child], timeout=20)
    assert statuses(scheduler, [parent.id, behind.id]) == ["failed", "done"]


def test_flush_leaves_no_lock_behind(scheduler: Scheduler) -> None:
    for _ in range(3):
        scheduler.add_job(Spans, "a")
    scheduler.flush()
    assert scheduler.add_job(Spans, "a").refresh().status is Status.WAITING


def test_every_write_about_turns_uses_an_index(scheduler: Scheduler, database: Documents) -> None:
    template = scheduler.add_job("noop").refresh().to_dict()
    jobs = database["taskscheduler.jobs"]
    jobs.insert_many([{**template, "_id": ObjectId(), "status": number % 7} for number in range(700)])
    added = [scheduler.add_job("noop", solo="key") for _ in range(20)]
    admission, tracked = scheduler.store.admission, scheduler.store.programs
    database.command("profile", 2)
    try:
        admission.park([one.id for one in added])
        admission.admit_next(["solo:key"])
        scheduler.store.places.free_expired("solo:key")
        scheduler.store.sweeps.sweep()
        tracked.end_silent({})
        tracked.end_silent({"gate": "key"})
    finally:
        database.command("profile", 0)
    seen = list(database["system.profile"].find({"ns": f"{database.name}.taskscheduler.jobs"}))
    assert len(seen) >= 8
    assert [entry["planSummary"] for entry in seen if "IXSCAN" not in entry.get("planSummary", "IXSCAN")] == []
    assert max(entry.get("docsExamined", 0) for entry in seen) <= 20


# -- what dies --------------------------------------------------------------------------------------------------------


def test_a_running_one_that_is_cancelled_is_gone_before_the_next_begins(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    path, behind = tmp_path / "running", tmp_path / "behind"
    first = wait_job(scheduler, path, tmp_path / "never")
    node = start_node(**HERE)
    pid = int(eventually(lambda: traces(path), 20)[0][2])
    second = scheduler.add_job("trace", str(behind), solo="waiting")
    os.kill(node.manager, signal.SIGSTOP)  # so that nobody kills the first one for a while
    first.cancel()
    scheduler.store.sweeps.sweep()  # as every node does again and again
    assert second.refresh().status is Status.POSTPONED
    os.kill(node.manager, signal.SIGCONT)
    eventually(lambda: not Path(f"/proc/{pid}").exists(), 20, "the first one is killed")
    second.wait(timeout=20, throw=True)


def test_a_manager_that_hangs_holds_no_turn(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    path, behind = tmp_path / "running", tmp_path / "behind"
    first = wait_job(scheduler, path, tmp_path / "never")
    node = start_node(**HERE, orphaned_timeout=1.5)
    pid = int(eventually(lambda: traces(path), 20)[0][2])
    second = scheduler.add_job("trace", str(behind), solo="waiting")
    os.kill(node.manager, signal.SIGSTOP)
    first.cancel()
    second.wait(timeout=20, throw=True)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("job", ["stubborn", *rarely(Heedless)], ids=["sync", "async"])
def test_one_that_takes_its_time_to_end_is_waited_for(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, job: Any
) -> None:
    path, behind = tmp_path / "running", tmp_path / "behind"
    first = scheduler.add_job(job, str(path), solo="waiting")
    start_node(**HERE, kill_grace=4)
    pid = int(eventually(lambda: traces(path), 20)[0][2])
    second = scheduler.add_job("trace", str(behind), solo="waiting")
    first.cancel()

    def second_has_ended_and_began_late_enough() -> bool:
        status = second.refresh().status
        assert status is Status.POSTPONED or not Path(f"/proc/{pid}").exists()
        scheduler.store.sweeps.sweep()
        return status is Status.DONE

    eventually(second_has_ended_and_began_late_enough, 20)


def test_however_long_it_takes_its_node_keeps_the_turn(
    scheduler: Scheduler, uri: str, start_node: StartNode, tmp_path: Path
) -> None:
    """The lease of who cancels it has ended long before."""
    path, behind = tmp_path / "running", tmp_path / "behind"
    first = scheduler.add_job("stubborn", str(path), solo="waiting")
    start_node(**HERE, kill_grace=7, orphaned_timeout=2)
    pid = int(eventually(lambda: traces(path), 20)[0][2])
    second = scheduler.add_job("trace", str(behind), solo="waiting")
    with Scheduler(uri, orphaned_timeout=0.5) as hasty:
        hasty.cancel_job(first.id)

    def first_is_gone() -> bool:
        status = second.refresh().status
        gone = not Path(f"/proc/{pid}").exists()
        assert gone or status is Status.POSTPONED
        scheduler.store.sweeps.sweep()
        return gone

    eventually(first_is_gone, 30)
    second.wait(timeout=20, throw=True)


@pytest.mark.parametrize("how", ["killed", *rarely("cut off")])
def test_a_node_that_cannot_say_that_it_is_gone_keeps_the_turn_for_its_own_lease(
    scheduler: Scheduler, uri: str, database: Documents, start_node: StartNode, tmp_path: Path, how: str
) -> None:
    path, behind = tmp_path / "running", tmp_path / "behind"
    first = wait_job(scheduler, path, tmp_path / "never")
    home = start_node(**HERE, orphaned_timeout=2 if how == "killed" else 30)
    eventually(lambda: traces(path), 20)
    second = scheduler.add_job("trace", str(behind), solo="waiting")
    home.send(signal.SIGSTOP)
    if how == "killed":
        start_node(**HERE, orphaned_timeout=2)
        first.cancel()
        home.kill()
        second.wait(timeout=20, throw=True)  # not that of who has cancelled it, 30 s
        return
    with Scheduler(uri, orphaned_timeout=0.5) as hasty:
        hasty.cancel_job(first.id)
    over = [{"$set": {"gate_until": "$$NOW"}}]
    database["taskscheduler.jobs"].update_one({"_id": first.id}, over)
    scheduler.store.sweeps.sweep()
    assert second.refresh().status is Status.POSTPONED, "the first one may run as long as its node has not lost it"
    home.send(signal.SIGCONT)
    second.wait(timeout=20, throw=True)


def test_a_retried_one_waits_until_nothing_is_left_of_it(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    path = tmp_path / "running"
    first = scheduler.add_job("stubborn", str(path), solo="waiting")
    start_node(**HERE, kill_grace=3)
    pid = int(eventually(lambda: traces(path), 20)[0][2])
    first.cancel()
    scheduler.retry_job(first.id)
    assert not Path(f"/proc/{pid}").exists()
    first.cancel()


def test_a_retry_does_not_wait_for_ever_for_a_process_that_stays(uri: str) -> None:
    class Hasty(SystemClock):
        """Its pauses pass at once, and each counts as many: a thousand looks may take longer than the lock lasts."""

        ahead = 0.0

        def monotonic(self) -> float:
            return super().monotonic() + self.ahead

        def pause(self, seconds: float) -> None:
            self.ahead += 100 * seconds

    with Scheduler(uri, clock=Hasty()) as scheduler:
        boot, process = ObjectId(), scheduler.add_job("noop", solo="key")
        scheduler.store.nodes.register(boot, {"name": "n1", "lease": 30})
        scheduler.store.claims.claim([process.id], "claim", boot, "n1")
        assert process.cancel()
        with pytest.raises(
            InvalidStateError, match="its process is still there: attempt 1 on node n1; end that process"
        ):
            scheduler.retry_job(process.id)
        with pytest.raises(InvalidStateError):
            scheduler.delete_job(process.id)
        scheduler.store.admission.release(Fence(process.id, "claim", 1))
        assert scheduler.retry_job(process.id).refresh().status is Status.WAITING


def test_a_killed_worker_keeps_the_turn_of_its_job(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    path, until = tmp_path / "running", tmp_path / "until"
    jobs = [wait_job(scheduler, path, until) for _ in range(2)]
    start_node(**HERE)
    os.kill(int(eventually(lambda: traces(path), 20)[0][2]), signal.SIGKILL)
    eventually(lambda: len(traces(path)) == 2, 20, "it runs again")
    assert [words[0] for words in traces(path)] == [str(jobs[0].id)] * 2
    scheduler.store.sweeps.sweep()
    assert jobs[1].refresh().status is Status.POSTPONED
    until.touch()
    scheduler.wait_for(jobs, throw=True, timeout=20)


def test_a_killed_node_blocks_the_others_no_longer_than_its_lease(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    path, until = tmp_path / "running", tmp_path / "until"
    jobs = [wait_job(scheduler, path, until) for _ in range(3)]
    nodes = [start_node(**HERE, orphaned_timeout=2) for _ in range(2)]
    eventually(lambda: traces(path), 20)
    name = jobs[0].refresh().node
    next(node for node in nodes if node.log.stem == name).kill()
    eventually(lambda: len(traces(path)) == 2, 20, "the other node runs it")
    assert {words[0] for words in traces(path)} == {str(jobs[0].id)}
    until.touch()
    scheduler.wait_for(jobs, throw=True, timeout=20)


def test_a_turn_that_nobody_passed_on_is_found_by_a_sweep(
    scheduler: Scheduler, database: Documents, start_node: StartNode
) -> None:
    """Whoever ended the first one died right after that write."""
    first, second = (scheduler.add_job("noop", solo="key") for _ in range(2))
    database["taskscheduler.jobs"].delete_one({"_id": first.id})
    assert second.refresh().status is Status.POSTPONED
    start_node()
    second.wait(timeout=20, throw=True)
