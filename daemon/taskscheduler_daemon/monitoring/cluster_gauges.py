"""ClusterGauges: the state of the whole cluster, read when somebody scrapes, at most every 10 seconds."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from taskscheduler.clock import NEVER, Clock
from taskscheduler.errors import SchedulerError
from taskscheduler.model.control.pauses import KINDS, Pause
from taskscheduler.model.control.reasons import Code
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.metrics.counts import name_of
from taskscheduler.model.nodes import NodeState, state_of
from taskscheduler.operations.control.summary import kept_back
from taskscheduler.store import Store
from taskscheduler.store.client import within
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler.store.driver_errors import StoreError, brief, translated
from taskscheduler_daemon.monitoring.families import Value

logger = logging.getLogger(__name__)

_FRESH = 10.0  #: seconds for which what was read is told again

_WITHIN = 2.0  #: seconds for all reads together; a probe must not wait for a database that is away

_MOST_NODES = 200  #: whose heartbeats are told one by one

_BLOCKED = (
    Code.WAITING_FOR, Code.NO_NODE, Code.NO_NODE_SERVES, Code.NO_NODE_KNOWS, Code.PAUSED, Code.SEQUENCE, Code.LIMIT,
    Code.SOLO, Code.RATE,
)  # fmt: skip


class ClusterGauges:
    """Reads counts by index, each up to a limit. Safe to use from many threads, of which one at a time reads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = -NEVER
        self._values: list[Value] = []

    def values(self, store: Store | None) -> list[Value]:
        """Returns the values; only that the database is not up if it does not answer, or there is no store yet."""
        if store is None:
            return [Value("database_up", (), 0)]
        with self._lock:
            if self._clock.monotonic() - self._read_at >= _FRESH:
                self._values = _of_database(store)
                self._read_at = self._clock.monotonic()
            return self._values


def _of_database(store: Store) -> list[Value]:
    try:
        with translated(), within(_WITHIN):
            return [Value("database_up", (), 1), *_read(store)]
    except (StoreError, SchedulerError) as error:
        logger.info("the values of the cluster are not read", extra={"reason": brief(error)})
        return [Value("database_up", (), 0)]


def _read(store: Store) -> Iterator[Value]:
    overview = store.overview
    counts, backlogs, nodes, pauses = overview.counts(), overview.backlogs(), overview.nodes(), overview.pauses()
    yield from _jobs(counts, backlogs)
    kept = kept_back(overview, counts, backlogs, nodes, pauses)
    yield from (Value("blocked_jobs", (code.lower(),), kept.get(code, 0)) for code in _BLOCKED)
    yield from _nodes(nodes)
    yield from _pauses(pauses)
    due = store.schedules.next_due()
    late = 0.0 if due is None else max(0.0, (store.clock.now() - due).total_seconds())
    yield Value("schedule_lateness_seconds", (), late)


def _jobs(counts: Mapping[Status, int], backlogs: Sequence[Backlog]) -> Iterator[Value]:
    waiting, oldest = Counter[str](), dict[str, float]()
    for backlog in backlogs:
        queue = name_of(backlog.queue)
        waiting[queue] += backlog.waiting
        oldest[queue] = max(oldest.get(queue, 0.0), backlog.oldest)
    yield from (Value("jobs", (Status.WAITING.label, queue), count) for queue, count in waiting.items())
    yield from (Value("jobs", (status.label, ""), counts[status]) for status in counts if status is not Status.WAITING)
    yield from (Value("oldest_waiting_seconds", (queue,), seconds) for queue, seconds in oldest.items())


def _nodes(nodes: Sequence[Mapping[str, Any]]) -> Iterator[Value]:
    states = Counter(state_of(node) for node in nodes)
    yield from (Value("nodes", (state.name.lower(),), states[state]) for state in NodeState)
    silent: dict[str, float] = {}
    for node in nodes[-_MOST_NODES:]:  # a name may belong to a node that was lost and to the one in its place
        name = name_of(str(node["name"]))
        silent[name] = min(silent.get(name, NEVER), float(node["silent"]))
    yield from (Value("node_heartbeat_age_seconds", (name,), max(0.0, age)) for name, age in silent.items())


def _pauses(pauses: Sequence[Pause]) -> Iterator[Value]:
    kinds = Counter(pause.kind for pause in pauses)
    yield from (Value("paused", (kind,), kinds[kind]) for kind in KINDS)
