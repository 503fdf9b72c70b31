"""How the ends of many attempts become few writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId
from tests.support.tables import table
from tests.unit.node.fakes import FakeClock

from taskscheduler.clock import ServerClock
from taskscheduler.model.flows.membership import Membership
from taskscheduler.model.lifecycle import Transition, Verdict
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempts.alike import with_results
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.ending import LATEST_END
from taskscheduler.store.completions import CompletionStore, Sign
from taskscheduler.store.fence import Fence

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Jobs:
    """A collection that keeps what is written."""

    def __init__(self) -> None:
        self.writes: list[Any] = []

    def bulk_write(self, writes: list[Any], ordered: bool) -> Any:
        assert not ordered
        self.writes += writes
        return SimpleNamespace(matched_count=len(writes))


class Bench:
    """A store whose server has noon."""

    def __init__(self) -> None:
        self.jobs, options = Jobs(), SchedulerOptions.of({})
        database = SimpleNamespace(get_collection=lambda *_, **__: self.jobs, __getitem__=None)
        clock = ServerClock(FakeClock(1000.0), NOON)
        self.store = CompletionStore(cast(Any, _Database(database)), options, clock)

    def write(self, *completions: Completion) -> list[tuple[Any, Any, int]]:
        """What is written about times: start, end, and for how many jobs."""
        self.store.write(completions)
        found = []
        for one in self.jobs.writes:
            update = one._doc
            end = update["$set"].get("ended", update.get("$currentDate", {}).get("ended"))
            found.append((update["$set"].get("started"), end, len(one._filter["_id"]["$in"])))
        return found

    def written_by(self, *completions: Completion) -> list[Any]:
        """The ids that each write names."""
        self.store.write(completions)
        return [one._filter["_id"] for one in self.jobs.writes]


class _Database(SimpleNamespace):
    def __init__(self, parts: SimpleNamespace) -> None:
        super().__init__(**vars(parts))

    def __getitem__(self, name: str) -> Any:
        return self.get_collection(name)


def done(began: float, took: float, claim: str = "c", worker: str = "w") -> Completion:
    """The end of a job that began so many milliseconds before noon, and took so many."""
    start = NOON.timestamp() - began / 1000
    fence = Fence(ObjectId(), claim, 1)
    return Completion(fence, Verdict(Transition.SUCCEED), worker, began=start, ended=start + took / 1000)


def at(milliseconds: float) -> datetime:
    return NOON - timedelta(milliseconds=milliseconds)


def test_quick_jobs_that_began_together_are_written_with_the_times_of_the_first() -> None:
    written = Bench().write(done(99.5, 0.25), done(99.25, 0.5), done(95.5, 0.0))
    assert written == [(at(99.5), at(99.25), 3)]


def test_what_differs_in_worker_claim_start_or_length_is_written_apart() -> None:
    one = done(99.5, 0.25)
    others = [done(99.5, 0.25, worker="v"), done(99.5, 0.25, "d"), done(89.0, 0.25), done(99.5, 4.5)]
    assert [count for *_, count in Bench().write(one, *others)] == [1] * 5


def test_what_began_soon_after_another_and_took_nearly_as_long_shares_its_write() -> None:
    """In any order, also if one of another length ended in between, and not if it only began soon after the last."""
    written = Bench().write(done(89.0, 0.25), done(91.0, 0.75), done(95.0, 4.5), done(99.5, 0.25), done(97.0, 5.25))
    assert [(start, count) for start, _, count in written] == [(at(99.5), 2), (at(97.0), 2), (at(89.0), 1)]


def test_the_times_of_jobs_that_take_longer_are_exact() -> None:
    written = Bench().write(done(99.5, 20.5), done(97.5, 20.5))
    assert written == [(at(99.5), at(79.0), 1), (at(97.5), at(77.0), 1)]


def test_an_end_that_is_written_late_has_the_time_of_the_write() -> None:
    """Who reads what has changed since a moment finds it."""
    late = LATEST_END * 1000 + 1
    assert Bench().write(done(late + 50, 50), done(late + 50, 52)) == [
        (at(late + 50), True, 1),
        (at(late + 50), at(late - 2), 1),
    ]


def test_where_nobody_knows_the_times_the_start_stays_that_of_the_claim() -> None:
    unknown = Completion(Fence(ObjectId(), "c", 1), Verdict(Transition.SUCCEED), "w")
    assert Bench().write(unknown) == [(None, True, 1)]


def returned(result: Any = 1, claim: str = "c", **more: Any) -> Completion:
    one = done(99.5, 0.25, claim)
    return replace(one, result=result, **more)


def test_small_results_of_one_claim_are_written_together_by_the_hundred() -> None:
    of_one, of_other = [returned(number) for number in range(101)], [returned(claim="d") for _ in range(2)]
    assert [len(part) for part in with_results([*of_one, *of_other])] == [100, 2]
    written = Bench().written_by(*of_one, *of_other)
    assert sorted(len(ids["$in"]) if isinstance(ids, dict) else 1 for ids in written) == [1, 2, 100]


@table(
    "other",
    [
        returned("x" * 1024), returned(None), returned(effects=("hook",)), returned(progress={"message": "half"}),
        returned(keys=("limit",)), returned(holds_once_key=True), returned(commits=True), returned(was_marked=True),
        returned(ended=0.0), returned(began=0.0), returned(verdict=Verdict(Transition.FAIL)),
        returned(fence=Fence(ObjectId(), "c", 2)), returned(member=Membership(ObjectId(), ())),
    ],
)  # fmt: skip
def test_an_end_with_more_than_a_small_result_is_written_alone(other: Completion) -> None:
    assert with_results([returned(), returned()])
    assert with_results([returned(), other]) == []


@pytest.mark.parametrize(
    ("began", "change"), [(998.0, {"progress": 5.0, "started": at(2000)}), (0.0, {"progress": 5.0})]
)
def test_a_sign_of_life_says_when_the_attempt_began(began: float, change: dict[str, Any]) -> None:
    bench = Bench()
    bench.store.progress([Sign(Fence(ObjectId(), "c", 1), {"progress": 5.0}, began=began)])
    assert bench.jobs.writes[0]._doc == {"$set": change, "$currentDate": {"alive": True}}


def test_only_the_sign_of_a_job_itself_is_one_for_its_parent() -> None:
    bench, parent = Bench(), ObjectId()
    bench.store.progress([Sign(Fence(ObjectId(), "c", 1), {}, parent, of_job=of_job) for of_job in (True, False)])
    assert [set(write._doc["$currentDate"]) for write in bench.jobs.writes[1::2]] == [
        {"alive", "child_alive"},
        {"alive"},
    ]
