"""What a query costs does not depend on how many jobs there are: the product's own commands, explained as they go out.

The small crowd is part of every run; a million jobs of each kind:
`.venv/bin/pytest -m scale tests/scale/test_explain.py`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from taskscheduler import Scheduler, Status
from taskscheduler.model.lifecycle import LIVE
from taskscheduler.store.claims import Cursor, Scope
from taskscheduler.store.job_lists import CAP, JobLists
from taskscheduler.store.overview import ClusterOverview
from tests.scale.crowd import DEBTS, DUE, HELD, HOLDERS, NAME, Crowd, fill
from tests.scale.explaining import Explainer, Plan

SMALL = Crowd(waiting=10_000, finished=10_000, postponed=1_000)
LARGE = Crowd(waiting=1_000_000, finished=1_000_000, postponed=100_000)
SPARE = 10  #: documents that a query may look at beyond twice what it returns

crowds = pytest.mark.parametrize(
    "site",
    [
        pytest.param(SMALL, id="small"),
        pytest.param(LARGE, id="large", marks=[pytest.mark.scale, pytest.mark.timeout(1200)]),
    ],
    indirect=True,
)


class Site:
    """A filled store, the product on it, and what its commands cost."""

    def __init__(self, uri: str, crowd: Crowd) -> None:
        self.crowd = crowd
        self.uri = uri
        with Scheduler(uri) as scheduler:
            self.boots = fill(scheduler, crowd)
            self.explainer = Explainer(uri, scheduler.store.options.job_store)
        self.client: MongoClient[dict[str, Any]] = MongoClient(uri, event_listeners=[self.explainer])
        self.scheduler = Scheduler(self.client.get_default_database())
        store = self.scheduler.store
        self.overview = ClusterOverview(store.database, store.options)
        self.job_lists = JobLists(store.database, store.options)

    def plans(self, act: Callable[[Site], Any]) -> tuple[Any, list[Plan]]:
        """What an act gives, and the plans of its commands on the job store."""
        self.explainer.plans.clear()
        found = act(self)
        assert not self.explainer.errors, self.explainer.errors
        return found, list(self.explainer.plans)

    def close(self) -> None:
        self.client.drop_database(self.client.get_default_database().name)
        self.scheduler.close()
        self.client.close()
        self.explainer.close()


@pytest.fixture(scope="module")
def site(server_uri: str, request: pytest.FixtureRequest) -> Iterator[Site]:
    site = Site(server_uri.format(f"scale_{ObjectId()}"), request.param)
    yield site
    site.close()


def head(site: Site, count: int = 500) -> list[Any]:
    return site.scheduler.store.claims.candidates(Scope(["default"]), count)


def later_part(site: Site) -> list[Any]:
    """As a node that works off a backlog looks: from where it looked last."""
    last = head(site, site.crowd.waiting // 2)[-1]
    site.explainer.plans.clear()
    mark = Cursor(last["queue"], last["priority"], last["at"], last["_id"])
    return site.scheduler.store.claims.candidates(Scope(["default"]), 500, mark)


def claim(site: Site) -> int:
    claims, boot = site.scheduler.store.claims, ObjectId()
    ids = [job["_id"] for job in head(site)]
    site.explainer.plans.clear()
    claims.claim(ids, "some claim", boot, "node")
    found = len(claims.claimed("some claim", boot))
    assert claims.release_claim("some claim", boot) == found
    return 3 * found  # claimed, read back, given back


def promote(site: Site) -> int:
    postponed_jobs = site.scheduler.store.postponed_jobs
    ids = postponed_jobs.find()
    promoted = postponed_jobs.promote(ids[:5])
    assert promoted == 5
    return len(ids) + promoted


def debts(site: Site) -> list[Any]:
    return site.scheduler.store.outbox.undelivered(["next", "family", "hook"], 100)


def held(site: Site) -> list[Any]:
    return site.scheduler.store.leases.held_by(site.boots[0])


def still_held(site: Site) -> set[Any]:
    fences = held(site)
    site.explainer.plans.clear()
    return site.scheduler.store.leases.still_held(fences)


def live(site: Site) -> list[Any]:
    """The default list, as far as anybody reads it at once."""
    found = site.scheduler.get_jobs()
    return [next(found) for _ in range(1000)]


def live_part(site: Site) -> list[Any]:
    return [next(site.scheduler.get_jobs())]


def once(site: Site) -> list[Any]:
    data = {"unlike": "others"}
    return [site.scheduler.add_job_once(NAME + "-once", data) for _ in range(3)]


def listed(*status: Status) -> Callable[[Site], list[Any]]:
    """What `taskscheduler list` asks for."""
    chosen = {"status": {"$in": sorted(int(one) for one in status)}} if status else {}
    return lambda site: site.job_lists.recent(chosen, 51)


#: name: what is done, and how much it may return at least
ACTS: dict[str, tuple[Callable[[Site], Any], int]] = {
    "candidates": (head, 500),
    "candidates further on": (later_part, 500),
    "claim": (claim, 1500),
    "due": (lambda site: site.scheduler.store.postponed_jobs.find(), DUE - 10),
    "promote": (promote, DUE - 10),
    "outbox": (debts, DEBTS),
    "lease: held by a node": (held, HELD),
    "lease: still held": (still_held, HELD),
    "default list": (live, 1000),
    "add once": (once, 2),
}


@crowds
@pytest.mark.parametrize("name", ACTS)
def test_a_query_examines_at_most_twice_what_it_returns(site: Site, name: str) -> None:
    act, least = ACTS[name]
    found, plans = site.plans(act)
    number = found if isinstance(found, int) else len(found)
    assert number >= least
    assert plans
    assert not any(plan.scans or plan.sorts for plan in plans), plans
    returned = sum(plan.returned for plan in plans)
    assert returned >= least, plans
    assert sum(plan.documents for plan in plans) <= 2 * returned + SPARE, plans
    assert sum(plan.keys for plan in plans) <= 2 * returned + SPARE, plans


def test_without_their_indexes_the_same_commands_are_found_out(uri: str) -> None:
    site = Site(uri, Crowd(waiting=200, finished=200, postponed=100))
    for name in ("claim", "live_list"):
        site.scheduler.store.jobs.collection.drop_index(name)
    _, (claim,) = site.plans(lambda site: head(site, 10))
    _, (default_list,) = site.plans(live_part)
    site.close()
    assert claim.scans
    assert claim.sorts
    assert claim.documents > 2 * claim.returned + SPARE
    assert default_list.scans


def test_old_jobs_are_deleted_by_the_index_of_ended_ones(uri: str) -> None:
    site = Site(uri, Crowd(waiting=200, finished=5_000, postponed=100))  # the first ended an hour ago
    deleted, plans = site.plans(lambda site: site.scheduler.delete_old_jobs(3600))
    site.close()
    assert deleted
    assert not any(plan.scans for plan in plans)
    assert sum(plan.documents for plan in plans) <= deleted + SPARE


def test_what_changed_lately_is_found_by_the_indexes_of_ended_jobs(uri: str) -> None:
    site = Site(uri, Crowd(waiting=0, finished=5_000, postponed=DUE))
    soon = datetime.now(UTC) + timedelta(hours=1)
    found, plans = site.plans(lambda site: list(site.scheduler.store.jobs.find_changed({}, soon)))
    site.close()
    assert found == []
    assert not any(plan.scans for plan in plans)
    assert sum(plan.documents for plan in plans) <= DUE + HOLDERS * HELD + SPARE


@crowds
def test_the_next_due_job_is_one_look(site: Site) -> None:
    _, plans = site.plans(lambda site: site.scheduler.store.postponed_jobs.seconds_until_next())
    assert [(plan.documents, plan.keys) for plan in plans] == [(1, 1)]


@crowds
def test_who_holds_jobs_is_told_by_what_is_held(site: Site) -> None:
    """One key for each job that runs, whatever else there is."""
    owners, plans = site.plans(lambda site: site.scheduler.store.leases.owners())
    assert owners == set(site.boots)
    assert not any(plan.scans for plan in plans)
    assert max(sum(plan.keys for plan in plans), sum(plan.documents for plan in plans)) <= HOLDERS * HELD + SPARE


@crowds
def test_the_names_of_queues_cost_a_key_each(site: Site) -> None:
    queues, plans = site.plans(lambda site: site.scheduler.store.claims.queues())
    assert queues == ["default"]
    assert not any(plan.scans or plan.sorts for plan in plans)
    assert sum(plan.keys for plan in plans) <= SPARE


LISTS: dict[str, Callable[[Site], Any]] = {
    "live": listed(*LIVE),
    "waiting": listed(Status.WAITING),
    "postponed": listed(Status.POSTPONED),
    "running": listed(Status.PROCESSING),
    "done": listed(Status.DONE),
    "failed": listed(Status.FAILED),
    "all": listed(),
}


@crowds
@pytest.mark.parametrize("name", LISTS)
def test_a_list_does_not_pass_over_what_has_ended(site: Site, name: str) -> None:
    """A million that ended are newer than all that live; a list of waiting jobs passes over newer postponed ones."""
    _, plans = site.plans(LISTS[name])
    assert not any(plan.scans for plan in plans), plans
    newer = site.crowd.postponed if name == "waiting" else 0
    assert sum(plan.documents for plan in plans) <= 2 * 51 + newer + HOLDERS * HELD + SPARE, plans


RARE = {"queue": "rare"}  #: a queue in which few wait


def of(*status: Status) -> dict[str, Any]:
    return {"status": {"$in": sorted(map(int, status))}}


def test_a_list_of_a_queue_does_not_pass_over_what_waits_in_others(uri: str) -> None:
    site = Site(uri, Crowd(waiting=2_000, finished=2_000, postponed=50))
    now, later = (site.scheduler.add_job(NAME, queue="rare", at=at) for at in (0, timedelta(hours=1)))
    waiting = RARE | of(Status.WAITING, Status.POSTPONED)
    live, listed = site.plans(lambda site: site.job_lists.recent(RARE | of(*LIVE), 51))
    tasks, served = site.plans(lambda site: list(site.job_lists.newest([waiting], 1000)))
    site.close()
    assert [job["_id"] for job in live] == [job["_id"] for job in tasks] == [later.id, now.id]
    for plans in (listed, served):
        assert sum(plan.documents for plan in plans) <= 50 + HOLDERS * HELD + SPARE, plans


@crowds
def test_the_status_page_looks_at_a_bounded_number_of_jobs(site: Site) -> None:
    look = site.overview

    def page(site: Site) -> None:
        look.counts()
        look.backlogs()
        look.next_due()

    _, plans = site.plans(page)
    assert not any(plan.scans for plan in plans), plans
    assert sum(plan.documents for plan in plans) <= SPARE, plans
    assert max(plan.keys for plan in plans) <= CAP + 1, plans


@crowds
def test_what_ended_lately_is_counted_by_keys(site: Site) -> None:
    _, plans = site.plans(lambda site: site.overview.ended_within(86_400))
    assert not any(plan.scans for plan in plans), plans
    assert sum(plan.documents for plan in plans) == 0, plans
    assert max(plan.keys for plan in plans) <= CAP + 1, plans


@crowds
def test_a_class_that_waits_is_found_among_a_thousand_jobs_of_it(site: Site) -> None:
    queue, plans = site.plans(lambda site: site.overview.waits_in(NAME))
    assert queue == "default"
    assert not any(plan.scans for plan in plans), plans
    assert sum(plan.documents for plan in plans) <= 1000 + SPARE, plans
