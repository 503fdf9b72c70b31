"""UnknownJobs: the classes of waiting jobs that this node turned out not to know."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId

from taskscheduler.model.control.known import Coverage, coverage

LEFT_ALONE = 60.0  #: seconds; then one claim asks the workers again, which may have other modules by now


class UnknownJobs:
    """Notes what workers report as unknown, so that it is left to other nodes. Safe to use from many threads."""

    def __init__(self, timeout: float) -> None:
        """`timeout` is in seconds: so long after it fell due, a job that no node knows fails; 0: at once."""
        self.timeout = timeout
        self.until: dict[str, float] = {}  #: the classes that are left to others, and how long
        self._overdue: set[ObjectId] = set()
        self._lock = threading.Lock()

    def left_to_others(self, job_id: ObjectId, name: str, now: float) -> bool:
        """Notes that workers here do not know a job; returns whether it is handed back, or else fails."""
        with self._lock:
            if not self.timeout or job_id in self._overdue:
                self._overdue.discard(job_id)
                return False
            self.until[name] = now + LEFT_ALONE
            return True

    def names(self, now: float) -> list[str]:
        """Returns the classes that are not claimed here now."""
        if not self.until:
            return []
        with self._lock:
            self.until = {name: until for name, until in self.until.items() if now < until}
            return sorted(self.until)

    def forget(self) -> None:
        """Leaves nothing to others until workers refuse it again: new ones know other jobs."""
        with self._lock:
            self.until = {}

    def expect_to_fail(self, ids: Iterable[ObjectId]) -> None:
        """Notes jobs that have waited long enough for a node that knows them."""
        with self._lock:
            self._overdue |= set(ids)


def known_nowhere(
    jobs: Sequence[Mapping[str, Any]], nodes: Sequence[Mapping[str, Any]], boot: ObjectId
) -> list[ObjectId]:
    """Returns the jobs that no other live node may know: each that serves their queue says that it does not."""
    others = [node for node in nodes if node["_id"] != boot]
    return [job["_id"] for job in jobs if coverage(job["class"], job["queue"], others) is not Coverage.KNOWN]
