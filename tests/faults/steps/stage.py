"""A database in which one scenario after the other is played, and what must be true of it afterwards."""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

from bson import ObjectId, Timestamp
from pymongo import MongoClient
from pymongo.database import Database

from taskscheduler import Scheduler, Status
from taskscheduler.testing import InlineNode
from tests.faults.steps.acting import Actor, Orders
from tests.faults.steps.orders import broken_promises
from tests.faults.steps.spans import most_at_once, spans
from tests.faults.steps.standstill import Standstills
from tests.support.eventually import eventually
from tests.support.jobs import traces

LEASE = 1.5  #: seconds after which a healthy node takes over
HEALS_WITHIN = 30.0
PAUSE = 0.1  #: seconds between two looks at a database; at more of them the looks take most of the time
_MOST_STEPS = 150

JOBS, NODES, SCHEDULES = "taskscheduler.jobs", "taskscheduler.nodes", "taskscheduler.schedules"
CONTROLS = "taskscheduler.controls"
WINDOWS = "taskscheduler.windows"
FLOWS, FLOW_RESULTS = "taskscheduler.flows", "taskscheduler.flow_results"
LOGS, METRICS, AUDIT = "taskscheduler.logs", "taskscheduler.metrics", "taskscheduler.audit"
_KEPT = (JOBS, SCHEDULES, CONTROLS, WINDOWS, FLOWS, FLOW_RESULTS, LOGS, METRICS, AUDIT)
_MARK = "mark"

#: which status may follow which, written down here once more; None: the job is new
_MAY_FOLLOW: Mapping[int | None, set[int]] = {
    None: {Status.WAITING, Status.POSTPONED},
    Status.POSTPONED: {Status.WAITING, Status.PROCESSING, Status.CANCELED, Status.FAILED},  # claimed in its turn
    Status.WAITING: {Status.PROCESSING, Status.POSTPONED, Status.CANCELED, Status.FAILED},
    Status.PROCESSING: {int(status) for status in Status if status is not Status.PROCESSING},
    **{int(status): set() for status in Status if status.is_final},
}


class Stage:
    """One database and one directory, used again for every step."""

    def __init__(self, client: MongoClient[dict[str, Any]], uri: str, name: str, directory: Path) -> None:
        self.uri = uri.format(name)
        self.database: Database[dict[str, Any]] = client[name]
        self.scheduler = Scheduler(self.database)
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.without: tuple[str, ...] = ()  #: mechanisms that all its processes lack
        self.memory: dict[str, Any] = {}  #: what a scenario keeps for its later parts
        self.node: Actor  #: of `standing`
        self._since: Timestamp

    @property
    def jobs(self) -> Any:
        return self.database[JOBS]

    @property
    def log(self) -> str:
        """Where jobs leave their traces."""
        return f"{self.directory}/traces"

    def clear(self, schema: bool = False, but_nodes: bool = False) -> None:
        """As if nothing had been; with `schema` also without collections. With `but_nodes`, those go on."""
        if schema:
            self.scheduler.close()
            self.database.client.drop_database(self.database.name)
            self.scheduler = Scheduler(self.database)
        else:
            for name in (*_KEPT, *([] if but_nodes else [NODES])):
                self.database[name].delete_many({})
        for path in self.directory.iterdir():
            if but_nodes and path.name == "node.log":
                os.truncate(path, 0)
            else:
                path.unlink()
        self.memory.clear()
        self._since = self.database.command("insert", _MARK, documents=[{}])["operationTime"]

    def schedule(self, past: int, **options: Any) -> None:
        """A schedule of every second that is due since so many seconds."""
        options = {"overlap": "allow", "missed": "all", **options}
        next_at = self.scheduler.schedules.add("tick", "trace", self.log, every=1, **options).next_at
        assert next_at is not None
        self.memory["first"] = next_at - timedelta(seconds=past)
        since = {"next_at": self.memory["first"], "due_at": self.memory["first"]}
        self.database[SCHEDULES].update_one({"_id": "tick"}, {"$set": since})

    def run_inline(self) -> None:
        """Runs all jobs in this process, as a node does that stops afterwards."""
        InlineNode(self.scheduler).run_until_idle()

    def is_settled_schedule(self) -> bool:
        """Whether nothing that was decided for it is left to do."""
        return self.database[SCHEDULES].find_one({"adding": {"$exists": True}}) is None

    @contextmanager
    def acting(self, what: str, facts: Mapping[str, Any] | None = None, log: str = "", **fault: Any) -> Iterator[Actor]:
        """A process that does this; whatever it is doing at the end, it is gone."""
        orders = Orders(
            what, log or what, self.uri, str(self.directory), dict(facts or {}), without=self.without, **fault
        )
        actor = Actor(orders)
        try:
            yield actor
        finally:
            actor.destroy()

    @property
    def acknowledged(self) -> list[ObjectId]:
        """The ids that an operation has given to its caller."""
        return [ObjectId(words[0]) for words in traces(f"{self.directory}/acknowledged")]

    def said(self, what: str) -> str:
        """What a process has logged."""
        path = self.directory / f"{what}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def calls(self, what: str) -> list[str]:
        """The calls of the database after which a process with a switch lived on: each a command and its collection."""
        path = self.directory / f"{what}.calls"
        return path.read_text().splitlines() if path.exists() else []

    def came_to_fault(self, what: str) -> bool:
        """Whether a process has come to the write that was to fail."""
        path = self.directory / f"{what}.faults"
        return path.exists() and bool(path.read_text())

    def statuses(self, query: Mapping[str, Any] | None = None) -> Counter[Status]:
        return Counter(Status(job["status"]) for job in self.jobs.find(query or {}, {"status": 1}))

    def settled(self) -> bool:
        """Whether nothing is owed and nothing runs."""
        return self.jobs.find_one({"$or": [{"pending": {"$exists": True}}, {"status": 2}]}) is None

    def describe(self) -> str:
        """For whoever has to find out what went wrong."""
        logs = [f"{name}: {self.said(name)[-1500:]}" for name in ("node", "healer")]
        return "\n".join([*map(str, self.jobs.find()), *logs])

    # -- what must be true ------------------------------------------------------------------------------------------

    def verify(self) -> None:
        """Every promise that does not depend on the scenario."""
        jobs = {job["_id"]: job for job in self.jobs.find()}
        missing = [job_id for job_id in self.acknowledged if job_id not in jobs]
        assert not missing, f"acknowledged and lost: {missing}"
        self._verify_moves(jobs)
        self._verify_starts(jobs)
        self._verify_series(jobs)
        self._verify_schedule(jobs)
        keys = Counter(job["once"] for job in jobs.values() if "once" in job and not Status(job["status"]).is_final)
        assert set(keys.values()) <= {1}, "two live jobs of one key"
        self._verify_controls()
        assert not (broken := broken_promises(self.log)), broken
        kept = {"awaits", "pending", "next", "blocked", "parked_at", "gate", "turn"}
        stuck = [job for job in jobs.values() if kept & job.keys() or job["status"] == 2]
        assert not stuck, f"nobody cares for {stuck}"

    def _verify_moves(self, jobs: Mapping[ObjectId, Any]) -> None:
        """From the oplog: every change of a status was allowed, so no job has ended twice."""
        before: dict[ObjectId, int | None] = defaultdict(lambda: None)
        for job_id, status in self.moves():
            again = "retried" in self.memory and status in (Status.WAITING, Status.POSTPONED)  # by a caller
            assert again or status in _MAY_FOLLOW[before[job_id]], f"{job_id} went from {before[job_id]} to {status}"
            before[job_id] = status
        for job_id, job in jobs.items():
            assert before[job_id] == job["status"], "the history is complete"

    def _verify_starts(self, jobs: Mapping[ObjectId, Any]) -> None:
        starts = Counter((job_id, attempt) for job_id, attempt, *_ in traces(self.log))
        assert set(starts.values()) <= {1}, f"an attempt has started twice: {starts}"
        started = Counter(job_id for job_id, _ in starts)
        for job in jobs.values():
            if job["class"] == "trace":
                assert started[str(job["_id"])] <= job["attempt"]
                assert started[str(job["_id"])] >= (job["status"] == Status.DONE), "done and never run"

    def _verify_controls(self) -> None:
        most = self.memory.get("most")
        assert most is None or most_at_once(self.log) <= most, f"more than {most} at work: {spans(self.log)}"
        order = [str(job_id) for job_id in self.memory.get("order", ())]
        found = [order.index(job_id) for job_id, *_ in spans(self.log) if job_id in order]
        assert found == sorted(found), f"a sequence has run in the order {found}"

    def _verify_schedule(self, jobs: Mapping[ObjectId, Any]) -> None:
        times = [job["scheduled_at"].replace(tzinfo=UTC) for job in jobs.values() if "schedule" in job]
        assert len(times) == len(set(times)), "a schedule has one run for a time"
        if times and "skips" not in self.memory:
            expected = [self.memory["first"] + timedelta(seconds=number) for number in range(len(times))]
            assert sorted(times) == expected, "a schedule has a run for each time"

    def _verify_series(self, jobs: Mapping[ObjectId, Any]) -> None:
        series: dict[ObjectId, list[Any]] = defaultdict(list)
        for job in jobs.values():
            if "series" in job:
                series[job["series"]].append(job)
        for runs in series.values():
            runs.sort(key=lambda run: int(run["seq"]))
            assert [run["seq"] for run in runs] == list(range(runs[0]["seq"], runs[0]["seq"] + len(runs)))
            assert all(Status(run["status"]).is_final for run in runs[:-1]), "only the newest run may be live"
            assert "once" in runs[-1] or "key" not in self.memory, "the key has moved with the series"
            over = runs[-1]["status"] == Status.CANCELED
            assert over or not Status(runs[-1]["status"]).is_final, "the series has ended although nobody cancelled it"

    def moves(self) -> list[tuple[ObjectId, int]]:
        """All changes of a status since `clear`, in order."""
        mark = self.database[_MARK].insert_one({}).inserted_id
        found: list[tuple[ObjectId, int]] = []
        with self.database.watch(start_at_operation_time=self._since, max_await_time_ms=100) as stream:
            for change in stream:
                if change["ns"].get("coll") == _MARK and change["documentKey"]["_id"] == mark:
                    break
                if change["ns"].get("coll") != JOBS:
                    continue
                changed = change.get("fullDocument") or change.get("updateDescription", {}).get("updatedFields", {})
                if "status" in changed:
                    found.append((change["documentKey"]["_id"], changed["status"]))
        return found


def healed(stage: Stage, reached: Any, facts: Mapping[str, Any] | None = None) -> None:
    """Let a healthy node look after what was left, until the scenario is where it should be and nothing is owed."""
    with stage.acting("node", {"orphaned_timeout": LEASE, "max_lost": 10, **(facts or {})}, log="healer") as node:
        eventually(lambda: "node ready" in stage.said("healer"), HEALS_WITHIN, "a healthy node", PAUSE)
        eventually(lambda: reached(stage) and stage.settled(), HEALS_WITHIN, "healed", PAUSE)
        assert node.stop() == 0, stage.said("healer")[-2000:]


@contextmanager
def standing(stages: list[Stage], facts: Mapping[str, Any], without: Sequence[str] = ()) -> Iterator[None]:
    """A healthy node on each of them for all steps. It has lost nothing at the end."""
    with ExitStack() as stack:
        for stage in stages:
            stage.without = tuple(without)
            stage.node = stack.enter_context(stage.acting("node", facts))
        eventually(lambda: all("node ready" in stage.said("node") for stage in stages), 30, "nodes ready", PAUSE)
        yield
        for stage in stages if not without else ():
            assert stage.node.stop() == 0, stage.said("node")[-2000:]


def every_step(
    stages: list[Stage], play: Callable[[Stage, int], bool], failures: list[AssertionError] | None = None
) -> int:
    """Play the scenario with the switch at 1, 2, 3, ... until it ends before; the number of steps.

    With `failures`, the first one ends it and is put there. What fails while the machine stood still is played again.
    """
    numbers, last = itertools.count(1), list[int]()

    def played(stage: Stage) -> None:
        while not last:
            n = next(numbers)
            assert n <= _MOST_STEPS, "the scenario does not come to an end"
            if step(stage, n):
                last.append(n)

    def step(stage: Stage, n: int) -> bool:
        began = time.monotonic()
        try:
            return play(stage, n)
        except BaseException as error:
            if standstills.since(began):
                return step(stage, n)
            last.append(n)
            if failures is not None and isinstance(error, AssertionError):
                failures.append(error)
                return True
            error.add_note(f"step {n}: {stage.describe()}")
            raise

    with Standstills() as standstills, ThreadPoolExecutor(len(stages)) as threads:
        for thread in [threads.submit(played, stage) for stage in stages]:
            thread.result()
    return min(last)
