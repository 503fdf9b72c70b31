"""Pages in a browser under a storm: 500 changes in a second, for as long as it takes to see anything grow.

`.venv/bin/pytest -m scale -s tests/browser/test_storm.py` takes three minutes. It is about seconds and memory, so it
wants the machine for itself. TASKSCHEDULER_TEST_STORM=600 makes the storm longer.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from bson import ObjectId
from playwright.sync_api import BrowserContext, CDPSession, Page, Request, expect
from pymongo import UpdateOne
from tests.support.eventually import eventually
from tests.support.web_process import WebProcess

from taskscheduler import Scheduler, Status

pytestmark = [pytest.mark.scale, pytest.mark.timeout(3600)]

PER_SECOND, AT_ONCE = 500, 50

SECONDS = int(os.environ.get("TASKSCHEDULER_TEST_STORM", "90"))

JOBS = 301  #: no multiple of four: each change of a job is one of its status

#: milliseconds of the slowest of the last answers
SLOWEST = "Math.max(...performance.getEntriesByType('resource').slice(-10).map((one) => one.duration))"

MB = 1 << 20

#: follows the stream of the web service, as a page of somebody else would
FOLLOW = """() => new Promise((opened) => {
  const source = new EventSource("/api/v1/stream?topics=job&queue=storm");
  window.stream = { got: 0, gaps: 0 };
  const count = () => { stream.got += 1; };
  for (const name of ["waiting", "processing", "done", "failed", "progress"]) source.addEventListener(name, count);
  source.addEventListener("gap", () => { stream.gaps += 1; });
  source.addEventListener("open", (event) => { if (event.data) opened(); });
})"""


@pytest.fixture
def web(uri: str) -> Iterator[WebProcess]:
    web = WebProcess(uri)
    yield web
    if web.process.poll() is None:
        web.end()


class Storm:
    """Changes jobs directly in the store, as many nodes would."""

    def __init__(self, scheduler: Scheduler) -> None:
        stored = scheduler.store.database[scheduler.options.job_store]
        self._jobs = stored
        self.ids = [job.id for job in scheduler.add_jobs([("noop", None, {"queue": "storm"})] * JOBS)]
        self.changes = 0

    def blow(self, seconds: float, page: Page) -> None:
        """Makes the changes of so many seconds; the page goes on meanwhile."""
        begun, first = time.monotonic(), self.changes
        while (passed := time.monotonic() - begun) < seconds:
            while self.changes - first < passed * PER_SECOND:
                self._some()
            page.wait_for_timeout(50)
        assert self.changes - first >= 0.8 * seconds * PER_SECOND

    def _some(self) -> None:
        states = (Status.WAITING, Status.PROCESSING, Status.DONE, Status.FAILED)
        updates = []
        for number in range(self.changes, self.changes + AT_ONCE):
            status = states[number % 4]
            fields = {"status": int(status), "message": f"change {number}", "progress": 5.0}
            if status is not Status.WAITING:  # with a number it would be handed back unstarted: nobody hears of that
                fields["attempt"] = number
            updates.append(UpdateOne({"_id": self.ids[number % JOBS]}, {"$set": fields}))
        self._jobs.bulk_write(updates, ordered=False)
        self.changes += AT_ONCE

    def end(self, job: ObjectId, message: str) -> None:
        """Makes the last change, which the pages must show."""
        self._jobs.update_one({"_id": job}, {"$set": {"status": int(Status.PROCESSING), "message": message}})


@dataclass(frozen=True, slots=True)
class Held:
    """What a page holds after its garbage was collected."""

    heap: float
    nodes: float
    listeners: float


class Watched:
    """A page, what it holds, and what it asks for."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page = context.new_page()
        self.page.goto(address, wait_until="load")
        expect(self.page.locator("#live")).to_have_text("live")
        self._session: CDPSession = context.new_cdp_session(self.page)
        self._session.send("Performance.enable")
        self.asked: Counter[str] = Counter()  #: how often for the page, and for new lines of a log
        self.page.evaluate("performance.setResourceTimingBufferSize(10000)")
        self.page.on("request", self._counted)

    def _counted(self, request: Request) -> None:
        if request.resource_type == "fetch":
            self.asked["log" if "/log?" in request.url else "page"] += 1

    def held(self) -> Held:
        """Collects the garbage, and counts."""
        found = dict[str, float]()
        for _ in range(20):
            self._session.send("HeapProfiler.collectGarbage")
            found = {one["name"]: one["value"] for one in self._session.send("Performance.getMetrics")["metrics"]}
            if found["Documents"] == 1:  # else one that was fetched is about to be merged
                break
            self.page.wait_for_timeout(300)
        return Held(found["JSHeapUsedSize"], found["Nodes"], found["JSEventListeners"])


def test_pages_keep_up_with_a_storm_and_do_not_grow(context: BrowserContext, web: WebProcess, uri: str) -> None:
    with Scheduler(uri) as scheduler:
        storm = Storm(scheduler)
        job = storm.ids[0]
        paths = ("", f"jobs/{job}", "jobs?q=queue:storm", "failures")
        pages = [Watched(context, web.address + path) for path in paths]
        reader = Watched(context, web.address + "jobs?q=queue:storm")
        row = reader.page.locator("tbody tr").first
        name = row.get_attribute("id")
        row.locator(".pick").check()
        reader.page.locator("#q").press("End")
        reader.page.locator("#q").press_sequentially(" created:")

        storm.blow(20, reader.page)  # until everything has been used once
        before, memory = [one.held() for one in pages], web.memory("VmRSS")
        for one in (*pages, reader):
            one.asked.clear()
        storm.blow(SECONDS, reader.page)
        storm.end(job, "the last word")
        ended = time.monotonic()
        expect(pages[1].page.locator(".head .status")).to_contain_text("processing")
        expect(pages[1].page.locator("main")).to_contain_text("the last word")
        late = time.monotonic() - ended
        slow = pages[1].page.evaluate(SLOWEST) / 1000
        after = [one.held() for one in pages]
        print(f"\nshown after {late:.2f} s, while an answer took {slow:.2f} s")  # noqa: T201
        print(f"web process: {memory / MB:.1f} -> {web.memory('VmRSS') / MB:.1f} MB")  # noqa: T201
        for path, one, old, new in zip(paths, pages, before, after, strict=True):
            print(f"/{path}: {dict(one.asked)} requests, {old} -> {new}")  # noqa: T201

        assert late <= max(2.0, 5 * slow), "a server that is slow for others' sake is asked more seldom"
        for one in pages:
            assert SECONDS / 10 <= one.asked["page"] <= SECONDS + 5
            assert one.asked["log"] <= SECONDS + 5
        assert reader.asked.total() <= 1, "a page in which something is selected and typed is left alone"
        assert web.memory("VmRSS") - memory < 8 * MB
        for old, new in zip(before, after, strict=True):
            assert new.heap - old.heap < MB
            assert new.nodes < old.nodes + 200
            assert new.listeners < old.listeners + 5
        expect(reader.page.locator(f"#{name} .pick")).to_be_checked()
        expect(reader.page.locator("#q")).to_have_value("queue:storm created:")


def test_a_client_of_the_stream_gets_each_change_of_a_storm(page: Page, web: WebProcess, uri: str) -> None:
    with Scheduler(uri) as scheduler:
        storm = Storm(scheduler)
        page.goto(web.address)
        page.evaluate(FOLLOW)
        storm.blow(10, page)
        memory = web.memory("VmRSS")
        storm.blow(SECONDS / 2, page)
        ended = time.monotonic()
        # not `wait_for_function`: it asks again with eval, which the policy of the pages refuses
        eventually(lambda: page.evaluate(f"Boolean(stream.gaps) || stream.got >= {storm.changes}"), 30, "all changes")
        print(f"\nall of {storm.changes} changes came within {time.monotonic() - ended:.2f} s")  # noqa: T201
        assert page.evaluate("stream.gaps") == 0
        assert web.memory("VmRSS") - memory < 8 * MB
