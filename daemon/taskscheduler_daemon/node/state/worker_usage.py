"""WorkerUsage: what each worker uses, for people; read from the system once per heartbeat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from taskscheduler_daemon.system.procfs import usage_of


class WorkerUsage:
    """Remembers the CPU time of each worker at the last look, so that the next one tells what it has used since."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[float, float]] = {}  #: CPU seconds and monotonic time, by pid

    def measure(self, pid: Any, now: float) -> dict[str, Any]:
        """Returns `memory` in bytes and `cpu` in percent of one core since the last call; empty if it is gone."""
        found = usage_of(pid) if isinstance(pid, int) else None
        if found is None:
            return {}
        memory, spent = found
        before, self._last[pid] = self._last.get(pid), (spent, now)
        if before is None or now <= before[1]:
            return {"memory": memory}
        return {"memory": memory, "cpu": round(100 * max(0.0, spent - before[0]) / (now - before[1]), 1)}

    def keep(self, pids: Iterable[Any]) -> None:
        """Forgets all other processes."""
        kept = set(pids)
        self._last = {pid: last for pid, last in self._last.items() if pid in kept}
