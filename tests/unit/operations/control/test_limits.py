"""Who is at work under a limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from bson import ObjectId
from tests.support.tables import table

from taskscheduler.model.control.controls import Controls
from taskscheduler.model.control.keys import key, place
from taskscheduler.model.control.limits import Limit
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.control.limits import LimitUse, limits
from taskscheduler.store import Store

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def holding(*names: str, since: float | None = None, **more: Any) -> dict[str, Any]:
    """A job that holds a place of each of these names, and has run for so many seconds."""
    started = {} if since is None else {"started": NOW - timedelta(seconds=since), "node": "n"}
    status = Status.WAITING if since is None else Status.PROCESSING
    gate = [place(key("limit", name), 0) for name in names]
    return {"_id": ObjectId(), "class": "Mail", "status": int(status), "limits": list(names), "gate": gate} | {
        **started,
        **more,
    }


def use(limit: Limit, *jobs: dict[str, Any], waiting: int = 0, others: tuple[Limit, ...] = ()) -> LimitUse:
    places = SimpleNamespace(
        held_under=lambda names, most: [list(jobs) for _ in names], waiting_under=lambda names: [waiting for _ in names]
    )
    controls = SimpleNamespace(load=lambda: Controls(limits=(limit, *others)))
    (found, *_) = limits(cast(Store, SimpleNamespace(places=places, controls=controls)))
    return found


def test_those_that_have_held_a_place_for_longest_come_first() -> None:
    jobs = [holding("a"), holding("a", since=1), holding("a", since=5)]
    found = use(Limit("a", 5), *jobs, waiting=7)
    assert [one.job for one in found.holders] == [job["_id"] for job in reversed(jobs)]
    assert [one.status for one in found.holders] == [Status.PROCESSING, Status.PROCESSING, Status.WAITING]
    assert [(one.since, one.node) for one in found.holders][2] == (None, None)
    assert (found.name, found.taken, found.waiting) == ("a", 3, 7)


def test_a_limit_of_many_names_tells_which_one_each_job_is_under() -> None:
    found = use(Limit("tenant:*", 1), holding("api", "tenant:7", since=1))
    assert [one.name for one in found.holders] == ["tenant:7"]


def test_a_place_of_a_name_with_a_limit_of_its_own_is_not_the_one_that_is_told() -> None:
    job = holding("tenant:7", "tenant:8", since=1)
    assert use(Limit("tenant:*", 1), job).holders[0].name == "tenant:7"
    assert use(Limit("tenant:*", 1), job, others=(Limit("tenant:7", 1),)).holders[0].name == "tenant:8"


@table(
    "odd", [{"limits": 5}, {"limits": [5, None]}, {"gate": 5}, {"gate": [5]}, {"class": 5, "started": 5, "node": []}]
)
def test_an_odd_job_is_shown_as_far_as_it_can_be_read(odd: dict[str, Any]) -> None:
    (holder,) = use(Limit("tenant:*", 1), holding("tenant:7", since=1, **odd)).holders
    assert holder.name in ("tenant:*", "tenant:7")
