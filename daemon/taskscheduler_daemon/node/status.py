"""NodeStatus: what is registered about a node, for people and for other nodes to read."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.in_flight import InFlight
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.node.state.worker_usage import WorkerUsage

_MOST_NAMES = 1000  #: names of jobs that are registered; of a node with more nobody can tell


class NodeStatus:
    """Collects the status from what the manager reports and from the attempts in flight."""

    def __init__(
        self,
        options: NodeOptions,
        in_flight: InFlight,
        capacity: Capacity,
        lease: Lease,
        ended_as: Counter[Ending],
        clock: Clock,
    ) -> None:
        self._options = options
        self._in_flight = in_flight
        self._capacity = capacity
        self._lease = lease
        self._ended_as = ended_as
        self._clock = clock
        self._known = options.known
        self._pm = ""
        self._workers: dict[ObjectId, dict[str, Any]] = {}
        self._usage = WorkerUsage()

    def pool_changed(self, facts: dict[str, Any]) -> bool:
        """Notes the size of the pool; returns whether it is new. The manager repeats it, as messages may be lost."""
        self._in_flight.can_begin = bool(facts.get("ready", True))
        if (self._pm, self._capacity.slots) == (facts["pm"], facts["slots"]):
            return False
        self._pm = facts["pm"]
        self._capacity.set_slots(facts["slots"], facts["async_jobs"], facts["forced"])
        return True

    def known_changed(self, names: list[str]) -> bool:
        """Notes the jobs that the newest worker knows; returns whether they are new: it may have other modules."""
        if self._known is not None and set(names) == set(self._known):
            return False
        self._known = tuple(names)
        return True

    def worker_changed(self, facts: dict[str, Any]) -> None:
        """Notes that a worker was started or has ended."""
        if facts["event"] == "worker_spawn":
            self._workers[facts["worker"]] = {"id": str(facts["worker"]), "pid": facts["pid"]}
        else:
            self._workers.pop(facts["worker"], None)

    def at_start(self) -> dict[str, Any]:
        """Returns the status with what hardly changes: the version, and the names of the jobs that are known here."""
        version = self._options.version
        return {**self.all(), **({"version": version} if version else {}), **self._names()}

    def _names(self) -> dict[str, Any]:
        return {} if self._known is None or len(self._known) > _MOST_NAMES else {"jobs": list(self._known)}

    def all(self) -> dict[str, Any]:
        """Returns the present status. Safe to use from any thread."""
        return {
            "name": self._options.name,
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "pm": self._pm,
            "slots": self._capacity.slots,
            **self._capacity.beside_slots,
            "queues": list(self._options.queues),
            "unknown": self._capacity.unknown.names(self._lease.now()),
            "lease": self._lease.duration,
            "grace": self._options.kill_grace,
            "busy": self._capacity.busy,
            "running": len(self._in_flight),
            "ended": {ending.name.lower(): count for ending, count in list(self._ended_as.items())},
            "workers": self._workers_now(),
            **(self._names() if self._known is not self._options.known else {}),
        }

    def workers_by_use(self) -> tuple[int, int]:
        """Returns how many workers run jobs, and how many workers there are."""
        running = {attempt.worker for attempt in self._in_flight.all()}
        workers = set(self._workers)
        return len(workers & running), len(workers)

    def _workers_now(self) -> list[dict[str, Any]]:
        now = self._clock.monotonic()
        placed = [(attempt.worker, attempt) for attempt in self._in_flight.all() if attempt.worker is not None]
        running, several = dict(placed), Counter(worker for worker, _ in placed)
        workers = list(self._workers.items())
        self._usage.keep(facts["pid"] for _, facts in workers)
        return [
            {
                **facts,
                **self._usage.measure(facts["pid"], now),
                "job": running[worker].fence.job_id,
                "seconds": now - running[worker].began,
                "jobs": several[worker],
            }
            if worker in running
            else {**facts, **self._usage.measure(facts["pid"], now), "job": None, "seconds": 0.0, "jobs": 0}
            for worker, facts in workers
        ]
