"""add_job_once: created, existing or replaced, and never two live jobs of one kind, whoever adds at the same time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from tests.support.at_once import answers_at_once
from tests.support.eventually import eventually
from tests.support.jobs import Noop
from tests.support.nodes import NodeProcess
from tests.support.tables import rarely

from taskscheduler import DuplicateJobError, InvalidOptionError, Process, Scheduler, Status
from taskscheduler.model.lifecycle import Transition, Verdict
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.fence import Fence

LIVE = {"status": {"$lte": int(Status.PROCESSING)}}

#: processes, and how many add in each; the large one takes 20 s of CPU
CROWDS = pytest.mark.parametrize("crowd", [(4, 12), *rarely((8, 25))], ids=str)

_ADDER = """
import json, sys, threading
from concurrent.futures import ThreadPoolExecutor
from taskscheduler import Scheduler
uri, same, options = sys.argv[1], sys.argv[4], json.loads(sys.argv[5])
threads, number = int(sys.argv[2]), int(sys.argv[3])
with Scheduler(uri) as scheduler:
    scheduler.add_job("warm", at=4102444800)
    barrier = threading.Barrier(threads)
    def add(index):
        data = {"a": 1, "b": {"c": 2}} if same == "same" else number * threads + index
        barrier.wait()
        return scheduler.add_job_once("once", data, options)
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    sys.stdin.readline()
    with ThreadPoolExecutor(threads) as pool:
        added = list(pool.map(add, range(threads)))
sys.stdout.write(json.dumps([[str(process.id), process.outcome] for process in added]))
"""


def live(scheduler: Scheduler, name: str = "once") -> list[Process]:
    return list(scheduler.get_jobs({"class": name, **LIVE}))


def add_from_processes(uri: str, crowd: tuple[int, int], same: bool, options: dict[str, Any]) -> list[tuple[str, str]]:
    """The id and outcome of simultaneous add_job_once, many in each of several processes."""
    count, threads = crowd
    tail = ["same" if same else "differing", json.dumps(options)]
    outputs = answers_at_once(_ADDER, [[uri, str(threads), str(number), *tail] for number in range(count)])
    return [(job_id, outcome) for output in outputs for job_id, outcome in json.loads(output)]


def end_without_follow_up(scheduler: Scheduler, job_id: ObjectId) -> None:
    """Run and end a job as a node does that is killed right after the write."""
    claims, boot = scheduler.store.claims, ObjectId()
    claims.claim([job_id], "a-claim", boot, "a-node")
    series = scheduler.get_job(job_id).to_dict()
    verdict = Verdict(Transition.SUCCEED, plans_next=True)
    place = (series["series"], series["seq"])
    finish = Completion(Fence(job_id, "a-claim", 1), verdict, interval=3600, series=place, effects=("next",))
    assert scheduler.store.completions.write([finish]) == 1


def test_the_first_is_created_and_the_second_exists(scheduler: Scheduler) -> None:
    first = scheduler.add_job_once(Noop, {"max_age": 3600})
    second = scheduler.add_job_once("noop", {"max_age": 3600})
    assert (first.outcome, second.outcome) == ("created", "existing")
    assert first == second
    assert second.status is Status.WAITING
    assert len(live(scheduler, "noop")) == 1


def test_other_data_or_another_class_make_another_job(scheduler: Scheduler) -> None:
    kinds: list[Any] = [None, 1, "1", {}, [], {"a": 1}]
    added = [scheduler.add_job_once(name, data) for name in ("once", "other") for data in kinds]
    assert {process.outcome for process in added} == {"created"}
    assert len({process.id for process in added}) == 12
    assert len(live(scheduler)) == 6


def test_a_job_stays_the_same_whatever_the_order_of_its_keys(scheduler: Scheduler) -> None:
    first = scheduler.add_job_once("once", {"a": 1, "b": {"x": [{"p": 1, "q": 2}], "y": 2}})
    second = scheduler.add_job_once("once", {"b": {"y": 2, "x": [{"q": 2, "p": 1}]}, "a": 1})
    assert (second.outcome, second.id) == ("existing", first.id)
    assert scheduler.add_job_once("once", {"a": 1, "b": {"x": [{"p": 2, "q": 1}], "y": 2}}).outcome == "created"


def test_only_options_that_were_submitted_are_compared(scheduler: Scheduler) -> None:
    first = scheduler.add_job_once("once", 1, retry=3, retry_interval=60)
    asked: list[dict[str, Any]] = [
        {},
        {"retry": 3},
        {"retry_interval": 60.0},
        {"retry": 3, "timeout": 0},
        {"queue": "default"},
    ]
    for options in asked:
        process = scheduler.add_job_once("once", 1, options)
        assert (process.outcome, process.id) == ("existing", first.id), options


def test_defaults_of_the_scheduler_are_not_submitted_options(scheduler: Scheduler) -> None:
    first = scheduler.add_job_once("once", 1)
    scheduler.set_options(default_retry=5)
    assert scheduler.add_job_once("once", 1).id == first.id
    assert scheduler.add_job_once("once", 1, retry=5).outcome == "replaced"


@pytest.mark.parametrize(
    "options",
    [
        {"retry": 4},
        {"at": 4102444800},
        {"interval": 60},
        {"timeout": 5},
        {"priority": 1},
        {"queue": "other"},
        {"force_spawn": True},
        {"ignore_data": True},
    ],
)
def test_changed_options_replace_the_job(scheduler: Scheduler, options: dict[str, Any]) -> None:
    first = scheduler.add_job_once("once", 1, retry=3)
    second = scheduler.add_job_once("once", 1, options)
    assert second.outcome == "replaced"
    assert second.id != first.id
    assert first.refresh().status is Status.CANCELED
    assert [process.id for process in live(scheduler)] == [second.id]
    assert scheduler.add_job_once("once", 1, options).outcome == "existing"


def test_a_job_with_an_id_of_its_own_outlives_other_options(scheduler: Scheduler) -> None:
    mine = ObjectId()
    assert scheduler.add_job_once("once", 1, id=mine, interval=3600).outcome == "created"
    assert scheduler.add_job_once("once", 1, id=mine, interval=3600).outcome == "existing"
    for _ in range(2):
        with pytest.raises(DuplicateJobError):
            scheduler.add_job_once("once", 1, id=mine, interval=7200)
        assert [(process.id, process.options["interval"]) for process in live(scheduler)] == [(mine, 3600)]
    assert scheduler.add_job_once("once", 1, interval=7200).outcome == "replaced"
    assert [process.options["interval"] for process in live(scheduler)] == [7200]


def test_with_ignore_data_other_data_replace_the_job(scheduler: Scheduler) -> None:
    first = scheduler.add_job_once("once", {"max_age": 3600}, ignore_data=True, interval=86400)
    same = scheduler.add_job_once("once", {"max_age": 3600}, ignore_data=True, interval=86400)
    other = scheduler.add_job_once("once", {"max_age": 1800}, ignore_data=True, interval=86400)
    assert (first.outcome, same.outcome, other.outcome) == ("created", "existing", "replaced")
    assert first.refresh().status is Status.CANCELED
    assert [process.data for process in live(scheduler)] == [{"max_age": 1800}]


def test_without_ignore_data_other_data_give_two_jobs(scheduler: Scheduler) -> None:
    scheduler.add_job_once("once", {"max_age": 3600}, interval=86400)
    scheduler.add_job_once("once", {"max_age": 1800}, interval=86400)
    assert len(live(scheduler)) == 2


def test_a_job_added_plainly_counts_as_existing(scheduler: Scheduler) -> None:
    plain = scheduler.add_job("once", {"a": 1})
    once = scheduler.add_job_once("once", {"a": 1})
    assert (once.outcome, once.id) == ("existing", plain.id)
    replaced = scheduler.add_job_once("once", {"a": 1}, retry=2)
    assert replaced.outcome == "replaced"
    assert plain.refresh().status is Status.CANCELED


def test_a_job_added_plainly_counts_whatever_the_order_of_its_keys(scheduler: Scheduler) -> None:
    plain = scheduler.add_job("once", {"a": 1, "b": 2})
    assert scheduler.add_job_once("once", {"b": 2, "a": 1}).id == plain.id


@pytest.mark.parametrize(("plain", "once"), [([1, 2], 1), ([None, 1], None), ([[1], 2], [1]), ([{"a": 1}], {"a": 1})])
def test_a_plain_job_with_a_list_is_not_the_same_as_one_with_an_element_of_it(
    scheduler: Scheduler, plain: Any, once: Any
) -> None:
    listed = scheduler.add_job("once", plain)
    assert scheduler.add_job_once("once", once).outcome == "created"
    assert listed.refresh().status is Status.WAITING


def test_a_plain_job_with_other_data_is_never_cancelled(scheduler: Scheduler) -> None:
    plain = [scheduler.add_job("once", data) for data in (1.0, True, "1", {"a": 1.0}, None)]
    scheduler.add_job_once("once", {"a": 1})
    scheduler.add_job_once("once", 1)
    assert [process.refresh().status for process in plain] == [Status.WAITING] * 5


def test_a_cancelled_job_is_created_anew(scheduler: Scheduler) -> None:
    first = scheduler.add_job_once("once", 1)
    first.cancel()
    second = scheduler.add_job_once("once", 1)
    assert (second.outcome, second.id != first.id) == ("created", True)


def test_a_job_that_is_done_or_failed_is_created_anew(scheduler: Scheduler, node: NodeProcess) -> None:
    for name in ("noop", "fail"):
        first = scheduler.add_job_once(name, "x")
        assert first.wait(10).status.is_final
        second = scheduler.add_job_once(name, "x")
        assert (second.outcome, second.id != first.id) == ("created", True)
        second.wait(10)


def test_a_running_job_exists(scheduler: Scheduler, node: NodeProcess, tmp_path: Any) -> None:
    data = {"until": str(tmp_path / "end")}
    first = scheduler.add_job_once("wait", data)
    eventually(lambda: first.refresh().status is Status.PROCESSING)
    assert scheduler.add_job_once("wait", data).outcome == "existing"
    (tmp_path / "end").touch()
    first.wait(10)


def test_a_job_that_waits_for_its_retry_exists(scheduler: Scheduler, node: NodeProcess) -> None:
    first = scheduler.add_job_once("fail", 1, retry=1, retry_interval=3600)
    eventually(lambda: first.refresh().status is Status.POSTPONED)
    assert scheduler.add_job_once("fail", 1, retry=1).id == first.id
    assert scheduler.add_job_once("fail", 1, retry=2).outcome == "replaced"
    assert first.refresh().status is Status.CANCELED


def test_the_next_run_of_a_series_keeps_the_key(scheduler: Scheduler, node: NodeProcess) -> None:
    first = scheduler.add_job_once("echo", {"a": 1}, interval=3600, ignore_data=True)
    assert first.wait(10).status is Status.DONE
    run = eventually(lambda: live(scheduler, "echo"))[0]
    assert (run.series, run.status) == (first.id, Status.POSTPONED)
    same = scheduler.add_job_once("echo", {"a": 1}, interval=3600, ignore_data=True)
    assert (same.outcome, same.id) == ("existing", run.id)
    other = scheduler.add_job_once("echo", {"a": 2}, interval=7200, ignore_data=True)
    assert other.outcome == "replaced"
    assert run.refresh().status is Status.CANCELED
    assert other.wait(10).status is Status.DONE
    following = eventually(lambda: live(scheduler, "echo"))
    assert [process.series for process in following] == [other.id]


def test_a_series_whose_node_died_before_the_next_run_was_added_exists(scheduler: Scheduler) -> None:
    first = scheduler.add_job_once("once", 1, interval=3600)
    end_without_follow_up(scheduler, first.id)
    second = scheduler.add_job_once("once", 1, interval=3600)
    assert (second.outcome, second.series, second.id != first.id) == ("existing", first.id, True)
    assert [process.id for process in live(scheduler)] == [second.id]


@pytest.mark.timeout(60)
def test_a_series_cancelled_before_its_next_run_was_added_is_created_anew(scheduler: Scheduler) -> None:
    first = scheduler.add_job_once("once", 1, interval=3600)
    end_without_follow_up(scheduler, first.id)
    first.cancel()
    second = scheduler.add_job_once("once", 1, interval=3600)
    assert (second.outcome, second.series) == ("created", second.id)
    assert [process.id for process in live(scheduler)] == [second.id]


def test_plain_jobs_are_never_merged(scheduler: Scheduler) -> None:
    scheduler.add_job_once("once", 1)
    assert scheduler.add_job("once", 1).outcome == "created"
    assert len(live(scheduler)) == 2


def test_add_job_checks_ignore_data_but_does_not_use_it(scheduler: Scheduler) -> None:
    scheduler.add_job("once", 1, ignore_data=True)
    scheduler.add_job("once", 2, ignore_data=True)
    assert len(live(scheduler)) == 2
    with pytest.raises(InvalidOptionError, match="option ignore_data must be a boolean"):
        scheduler.add_job_once("once", 1, ignore_data="yes")


@pytest.mark.parametrize("options", [{"interval": 60, "retry": 2}, *rarely({}, {"ignore_data": True})], ids=str)
@CROWDS
def test_simultaneous_adders_store_one_job(
    uri: str, scheduler: Scheduler, options: dict[str, Any], crowd: tuple[int, int]
) -> None:
    added = add_from_processes(uri, crowd, same=True, options=options)
    assert len(added) == crowd[0] * crowd[1]
    [only] = live(scheduler)
    assert {job_id for job_id, _ in added} == {str(only.id)}
    assert sorted(outcome for _, outcome in added) == ["created", *["existing"] * (len(added) - 1)]
    assert len(list(scheduler.get_jobs({"class": "once"}))) == 1


@CROWDS
def test_simultaneous_adders_with_other_data_leave_one_live_job(
    uri: str, scheduler: Scheduler, database: Database[dict[str, Any]], crowd: tuple[int, int]
) -> None:
    added = add_from_processes(uri, crowd, same=False, options={"ignore_data": True})
    [only] = live(scheduler)
    assert str(only.id) in {job_id for job_id, _ in added}
    jobs = list(database["taskscheduler.jobs"].find({"class": "once"}))
    assert {str(document["_id"]) for document in jobs} == {job_id for job_id, _ in added}
    assert sum(document["status"] == Status.CANCELED for document in jobs) == len(jobs) - 1
    assert sorted(document["data"] for document in jobs) == list(range(len(added)))


def test_a_second_live_job_of_one_key_is_impossible(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if the look before the insert sees nothing: the index decides."""
    first = scheduler.add_job_once("once", 1)
    look: Callable[..., Any] = scheduler.store.inserts.same_live
    looks: list[Any] = []

    def blind(*args: Any) -> Any:
        looks.append(args)
        return None if len(looks) < 3 else look(*args)

    monkeypatch.setattr(scheduler.store.inserts, "same_live", blind)
    second = scheduler.add_job_once("once", 1)
    assert (second.outcome, second.id) == ("existing", first.id)
    assert len(live(scheduler)) == 1
