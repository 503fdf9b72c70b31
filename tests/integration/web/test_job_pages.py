"""Pages of jobs are found by indexes: nothing reads the whole collection, and only a few jobs are ever sorted."""

from __future__ import annotations

from typing import Any

from tests.support.tables import table
from tests.support.web import ended

from taskscheduler import Scheduler, Status
from taskscheduler.model.filters.expression import Filter
from taskscheduler.store.web import job_pages
from taskscheduler.store.web.job_pages import JobPages

QUERIES = (
    "", "status:done", "status:failed", "status:failed class:noop", "status:failed,timeout", "status:waiting",
    "status:waiting class:noop", "status:processing", "class:noop", "tag:t", "fingerprint:f", "queue:mail", "data.n:7",
    "created:>-2h", "error:SMTP*", "parent:6a5f01c2e26cf26c6d0ede69", "schedule:nightly", "service:mail",
)  # fmt: skip


def plans(scheduler: Scheduler, query: str) -> str:
    """All plans by which the server answers a page and a count."""
    store, found = scheduler.store, list[Any]()
    pages = JobPages(store.database, store.options)

    def explained(stages: Any, way: Any) -> Any:
        command = {"aggregate": store.options.job_store, "pipeline": list(stages), "cursor": {}, "hint": way.hint}
        found.append(store.database.command({"explain": command, "verbosity": "queryPlanner"}))
        return []

    pages._found = explained  # type: ignore[method-assign]
    asked = Filter.parse(query).query(store.clock.now())
    pages.page(asked, None, 10)
    pages.count(asked)
    assert found
    return repr([one.get("stages") or one["queryPlanner"] for one in found])


@table("query", QUERIES)
def test_a_page_is_found_by_an_index(scheduler: Scheduler, query: str) -> None:
    scheduler.add_job("noop", {"n": 7}, queue="mail", tags=["t"])
    ended(scheduler, Status.FAILED, fingerprint="f")
    scheduler.store.on_demand.make(["parent", "schedule", "service"])
    plan = plans(scheduler, query)
    assert "IXSCAN" in plan
    assert "COLLSCAN" not in plan
    few = query in ("status:processing", "fingerprint:f", "service:mail") or query.startswith("parent")
    assert few or "'stage': 'SORT'" not in plan


def test_a_page_searches_so_many_jobs_and_goes_on(scheduler: Scheduler, monkeypatch: Any) -> None:
    monkeypatch.setattr(job_pages, "MOST_SEARCHED", 4)
    monkeypatch.setattr(job_pages, "_FIRST_LOOK", 2)
    jobs = scheduler.add_jobs([("noop", {"n": n}) for n in range(10)])
    pages, query = (
        JobPages(scheduler.store.database, scheduler.options),
        Filter.parse("data.n:1").query(scheduler.store.clock.now()),
    )
    before, found, looks = None, list[Any](), 0
    while True:
        page = pages.page(query, before, 5)
        found, looks, before = found + page.jobs, looks + 1, page.next
        if before is None:
            break
    assert ([job["_id"] for job in found], looks) == ([jobs[1].id], 3)
    assert [job["_id"] for job in pages.newest(query, 5)] == [jobs[1].id]
    assert [job["_id"] for job in pages.newest({}, 5)] == [job.id for job in jobs[:4:-1]]
    assert not pages.count(query).is_complete
