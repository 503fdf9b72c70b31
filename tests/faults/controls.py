"""What a control runs on: a few nodes on one server, each with or without single mechanisms, and the checker."""

from __future__ import annotations

import json
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo import MongoClient

from taskscheduler import Scheduler
from tests.faults import checks, processes, schedules
from tests.faults.checker import Facts
from tests.faults.cluster import KILL_GRACE, LEASE, MAX_LOST, NODE_OPTIONS, Member
from tests.faults.history import Event, History, read
from tests.faults.standing import set_limit, start_service
from tests.faults.witness import JOBS, Witness
from tests.support.eventually import eventually

_LIVE = {"class": {"$gte": ""}, "status": {"$lte": 2}}


class Control:
    """As a context manager: leaves no process behind."""

    def __init__(self, uri: str, directory: Path) -> None:
        self._uri = uri
        self._directory = directory / "history"
        self._directory.mkdir()
        self.history = History(self._directory)
        self._members: list[Member] = []
        self.scheduler = Scheduler(uri)
        assert self.scheduler.store
        self._witness = Witness(uri, self.history)
        self._client: MongoClient[dict[str, Any]] = MongoClient(uri, tz_aware=True)
        self._jobs = self._client.get_default_database()[JOBS]

    def __enter__(self) -> Control:
        self._witness.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        processes.kill_all(self._directory)
        for member in self._members:
            member.wait(10)
        self._witness.__exit__()
        self.scheduler.close()
        self._client.close()

    # -- what happens -----------------------------------------------------------------------------------------------

    def node(self, name: str, *sabotage: str, **options: Any) -> Member:
        """A node with one worker, ready."""
        given = {"name": name, **NODE_OPTIONS, "min_children": 1, "max_children": 1, "sabotage": sabotage, **options}
        node = Member(name, self._directory, self._directory.parent, "nodes", self._uri, json.dumps(given))
        node.start()
        self._members.append(node)
        ready = {"what": "log", "text": "node ready", "by": name}
        eventually(lambda: self._seen(ready), 20, f"{name} is ready")
        return node

    def program(self, name: str, *sabotage: str) -> Member:
        """A program that keeps record of itself again and again."""
        given = json.dumps({"seed": name, "sabotage": sabotage})
        program = Member(name, self._directory, self._directory.parent, "program", self._uri, given)
        program.start()
        self._members.append(program)
        return program

    def service(self, job: str) -> ObjectId:
        """Start a service under the name of its job."""
        job_id = start_service(self.scheduler, job).id
        self.history.write("add", ids=[job_id], expected="any")
        self.history.write("acked", ids=[job_id])
        return job_id

    def stop_service(self, job: str, job_id: ObjectId) -> None:
        """Stop a service; it was to be there until now."""
        self.scheduler.stop_service(job)
        self.history.write("service", job=job_id)

    def schedule(self) -> datetime:
        """Start a schedule of every second; its first time."""
        first = self.scheduler.schedules.add(
            schedules.NAME, "faults.tick", **schedules.SCHEDULES[schedules.NAME]
        ).next_at
        assert first is not None
        return first

    def end_schedule(self, first: datetime) -> None:
        """Pause it when nothing is left to do for it; it had runs from its first time on."""
        self.scheduler.schedules.pause(schedules.NAME)
        stored = self.scheduler.store.schedules
        eventually(lambda: "due_at" not in (stored.get(schedules.NAME) or {}), 20, "the schedule rests")
        last = self.scheduler.schedules.get(schedules.NAME).last_at
        self.history.write("schedule", name=schedules.NAME, first=str(first), last=str(last))

    def limit(self, name: str, concurrency: int) -> None:
        """Set a limit."""
        set_limit(self.scheduler, self.history, name, concurrency)

    def add(self, job: str, data: Any = None, expected: str = "done", **options: Any) -> ObjectId:
        """Add a job, as producers do."""
        job_id = ObjectId()
        self.history.write("add", ids=[job_id], expected=expected)
        self.scheduler.add_job(f"faults.{job}", data, {**options, "id": job_id})
        self.history.write("acked", ids=[job_id])
        return job_id

    def add_many(self, job: str, data: list[Any]) -> None:
        """Add jobs in one batch."""
        ids = [ObjectId() for _ in data]
        self.history.write("add", ids=ids, expected="done")
        self.scheduler.add_jobs([(f"faults.{job}", one, {"id": job_id}) for one, job_id in zip(data, ids, strict=True)])
        self.history.write("acked", ids=ids)

    def await_start(self, job: ObjectId, attempt: int, timeout: float = 30.0) -> Event:
        """The beginning of an attempt."""
        start = {"what": "start", "job": str(job), "attempt": attempt}
        return eventually(lambda: self._seen(start), timeout, f"attempt {attempt}")

    def pause(self, pids: list[int]) -> None:
        self.history.write("pause", pids=pids)
        for pid in pids:
            processes.send(pid, signal.SIGSTOP)

    def resume(self, pids: list[int]) -> None:
        for pid in pids:
            processes.send(pid, signal.SIGCONT)
        self.history.write("resume", pids=pids)

    def await_end(self, timeout: float = 30.0) -> None:
        """Until no job is live and none owes anything."""
        eventually(lambda: self._jobs.find_one(_LIVE) is None, timeout, "the end of all jobs")
        eventually(lambda: self._jobs.find_one({"pending": {"$exists": True}}) is None, timeout, "no debts")

    def count(self, **query: Any) -> int:
        return self._jobs.count_documents(query)

    # -- what is known of it ----------------------------------------------------------------------------------------

    def seen(self, what: str) -> list[Event]:
        """The events of one kind."""
        return [event for event in read(self._directory) if event["what"] == what]

    def violations(self) -> set[str]:
        """The rules that were broken."""
        self._witness.catch_up()
        documents = {str(document["_id"]): document for document in self._jobs.find()}
        facts = Facts(read(self._directory), documents, MAX_LOST, KILL_GRACE, LEASE)
        return {violation.rule for violation in checks.violations(facts)}

    def _seen(self, wanted: Event) -> Event | None:
        return next((event for event in read(self._directory) if wanted.items() <= event.items()), None)
