"""Measures what one job and one idle node cost the database: `.venv/bin/python -m tests.scale.cost`.

job       commands, oplog entries and bytes, index entries in each state, alone and by the thousand
node      what a node without work does in a second, and its connections
streams   processor time of the server for one write, with so many change streams awaiting
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bson import ObjectId

from taskscheduler import Scheduler
from taskscheduler.model.lifecycle import Transition, Verdict
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.change_events import message_pipeline
from taskscheduler.store.change_feed import ChangeFeed
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.demo.environment import embedded_server
from tests.benchmarks.processes import cpu_seconds
from tests.support.nodes import NodeProcess

NAME, NODE = "cost", "node"
BATCH = 1000
IDLE_SECONDS = 20
STREAMS = (0, 1, 10, 50)
WRITES = 2000


class Meter:
    """The server's books on one database."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._database = scheduler.store.database
        self._admin = self._database.client.admin

    def counters(self) -> dict[str, int]:
        return {
            name: int(count)
            for name, count in self._admin.command("serverStatus")["opcounters"].items()
            if isinstance(count, int)
        }

    def connections(self) -> int:
        return int(self._admin.command("serverStatus")["connections"]["current"])

    def oplog(self) -> dict[str, tuple[int, int]]:
        """Entries and bytes so far, by collection; a batch of inserts is one entry for each document."""
        stages: list[dict[str, Any]] = [
            {"$match": {"ns": {"$regex": f"^{self._database.name}\\."}}},
            {"$group": {"_id": "$ns", "count": {"$sum": 1}, "bytes": {"$sum": {"$bsonSize": "$$ROOT"}}}},
        ]
        found = self._database.client["local"]["oplog.rs"].aggregate(stages)
        return {entry["_id"].partition(".taskscheduler.")[2]: (entry["count"], entry["bytes"]) for entry in found}

    def index_entries(self, collection: str) -> int:
        return sum(self._database.command("validate", collection)["keysPerIndex"].values())


def job(scheduler: Scheduler, count: int) -> Iterator[str]:
    """One life of jobs without data: added, claimed, done."""
    meter, store = Meter(scheduler), scheduler.store
    ids: list[ObjectId] = []
    boot = ObjectId()

    def add() -> None:
        ids.extend(process.id for process in scheduler.add_jobs([NAME] * count))
        store.wakeups.close()

    def claim() -> None:
        store.claims.claim(ids, "c" * 32, boot, NODE)
        assert len(store.claims.claimed("c" * 32, boot)) == count
        store.events.append([{"job": job_id, "status": 2, "attempt": 1} for job_id in ids], NODE)

    def finish() -> None:
        done = Verdict(Transition.SUCCEED)
        assert store.completions.write([Completion(Fence(one, "c" * 32, 1), done, "w" * 24) for one in ids]) == count
        store.events.append([{"job": job_id, "status": 3, "attempt": 1} for job_id in ids], NODE)

    for name, act in (("add", add), ("claim", claim), ("finish", finish)):
        yield f"{count:>5} {name:<7}" + _costs(meter, act, count, store.options.job_store)


def _costs(meter: Meter, act: Callable[[], None], count: int, job_store: str) -> str:
    before = meter.oplog()
    act()
    after = meter.oplog()
    cells = []
    for name in ("jobs", "queue", "events"):
        entries, size = (
            now - then for now, then in zip(after.get(name, (0, 0)), before.get(name, (0, 0)), strict=True)
        )
        cells.append(f"{entries / count:>9.3f} {size / count:>7.0f} B")
    return "".join(cells) + f"{meter.index_entries(job_store) / count:>9.1f}"


def idle_node(scheduler: Scheduler, uri: str, directory: Path) -> Iterator[str]:
    """A node with two workers and no jobs."""
    meter = Meter(scheduler)
    threading.Event().wait(2)  # until those of the clients before are gone
    connections = meter.connections()
    options = {"pm": "static", "min_children": 2, "max_children": 2}
    node = NodeProcess(uri, directory / "node.log", options)
    try:
        node.wait_until_ready()
        threading.Event().wait(3)
        before, written = meter.counters(), sum(count for count, _ in meter.oplog().values())
        threading.Event().wait(IDLE_SECONDS)
        after, now = meter.counters(), sum(count for count, _ in meter.oplog().values())
        for name in ("query", "getmore", "command", "update", "insert"):
            yield f"{name:<12} {(after[name] - before[name]) / IDLE_SECONDS:>6.2f} /s"
        yield f"{'oplog':<12} {(now - written) / IDLE_SECONDS:>6.2f} /s"
        yield f"{'connections':<12} {meter.connections() - connections:>6}"
        node.stop()
    finally:
        node.destroy()


def streams(scheduler: Scheduler, mongod: int) -> Iterator[str]:
    """The server looks at every write for each stream that awaits one."""
    log = scheduler.store.database["unrelated"]
    for count in STREAMS:
        with _awaiting(scheduler, count):
            before = cpu_seconds([mongod])
            for _ in range(WRITES):
                log.insert_one({"_id": ObjectId()})
            yield f"{count:>5} {1e6 * (cpu_seconds([mongod]) - before) / WRITES:>9.0f} us"


@contextmanager
def _awaiting(scheduler: Scheduler, count: int) -> Iterator[None]:
    """So many streams as nodes open them."""
    options, ending = scheduler.store.options, threading.Event()
    pipeline = message_pipeline(options.job_store, options.job_queue)

    def follow(feed: ChangeFeed) -> None:
        while not ending.is_set():
            feed.next()

    with ExitStack() as stack:
        feeds = [stack.enter_context(ChangeFeed(scheduler.store.database, pipeline)) for _ in range(count)]
        threads = [threading.Thread(target=follow, args=(feed,)) for feed in feeds]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ending.set()
            for thread in threads:
                thread.join()


def report() -> Iterator[str]:
    """All of it, on a server of its own."""
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="taskscheduler-cost-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        server = stack.enter_context(embedded_server(directory / "server"))
        yield f"{'jobs':>5} {'':<7}{'oplog: jobs':>19}{'queue':>19}{'events':>19}{'index':>9}   for each job"
        for number, count in enumerate((1, BATCH)):
            with Scheduler(server.uri.replace("/taskscheduler?", f"/job{number}?")) as scheduler:
                yield from job(scheduler, count)
        with Scheduler(server.uri) as scheduler:
            yield ""
            yield from idle_node(scheduler, server.uri, directory)
            yield ""
            yield f"{'streams':>5} {'server':>9} processor time for one write to another collection"
            yield from streams(scheduler, server.address.mongod_pid)


if __name__ == "__main__":
    for line in report():
        print(line)  # noqa: T201
