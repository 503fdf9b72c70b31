"""The checks of `taskscheduler doctor`: what they look at, what counts as wrong, and what helps."""

from __future__ import annotations

import importlib
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from taskscheduler.embedded import find_mongod
from taskscheduler.errors import AuthenticationError, EmbeddedServerError, SchedulerError
from taskscheduler.model.migration.steps import INDEXES, StepState
from taskscheduler.model.nodes import serves
from taskscheduler.operations.control.known import unknown_classes
from taskscheduler.store.overview import ClusterOverview, Server
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import count
from taskscheduler_daemon.presentation.migration import waiting_for
from taskscheduler_daemon.presentation.node import LOST, SILENT, UNKNOWN_CURE, UP, node_state, unknown_text
from taskscheduler_daemon.presentation.text import plural

GOOD, WARNING, BAD = "ok", "warning", "problem"

_CLOCK_WARNING, _CLOCK_BAD = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    result: str
    check: str
    text: str
    cure: str = ""


def database_findings(overview: ClusterOverview, node_command: str) -> Iterator[Finding]:
    """Runs all checks on a database; yields a single finding if it cannot be reached.

    `node_command` is what starts a node on it.
    """
    try:
        server = overview.server()
    except SchedulerError as error:
        yield Finding(BAD, "mongodb", str(error), "start it, or correct --uri or TASKSCHEDULER_URI")
        return
    kind = f"replica set {server.replica_set}" if server.replica_set else "sharded cluster"
    yield Finding(GOOD, "mongodb", f"{server.version}, {kind}, database {overview.name} ({_ms(server.ping)})")
    checks: list[tuple[str, Callable[[ClusterOverview], Iterator[Finding]]]] = [
        ("streams", _streams),
        ("indexes", _indexes),
        ("schema", _schema),
        ("capped", _capped),
        ("nodes", partial(_nodes, node_command=node_command)),
    ]
    yield _clock(server)
    for name, check in checks:
        try:
            yield from check(overview)
        except SchedulerError as error:
            refused = isinstance(error, AuthenticationError)
            cure = "the user needs the role taskscheduler_run, or readWrite" if refused else "check the server's log"
            yield Finding(BAD, name, str(error), cure)


def _streams(overview: ClusterOverview) -> Iterator[Finding]:
    yield Finding(GOOD, "streams", f"change streams work ({_ms(overview.open_stream())})")


def _indexes(overview: ClusterOverview) -> Iterator[Finding]:
    missing = overview.missing_indexes()
    if missing:
        cure = "taskscheduler migrate makes them, and so does the next node or scheduler that connects"
        yield Finding(WARNING, "indexes", f"missing: {', '.join(missing)}", cure)
    else:
        yield Finding(GOOD, "indexes", "all present")


def _schema(overview: ClusterOverview) -> Iterator[Finding]:
    """Says whether an older version has left something; what is missing is the finding of the check before."""
    steps = [report for report in overview.migration() if report.step.name != INDEXES]
    needed = [report for report in steps if report.state is StepState.NEEDED]
    waiting = [report for report in steps if report.state is StepState.WAITS]
    if needed:
        does = "; ".join(report.step.does for report in needed)
        yield Finding(WARNING, "schema", f"of an older version; to do: {does}", "run: taskscheduler migrate")
    if waiting:
        text = f"{plural(len(waiting), 'step')} to this version must wait for older nodes: {waiting_for(waiting)}"
        yield Finding(WARNING, "schema", text, "replace these nodes, then run: taskscheduler migrate")
    if not needed and not waiting:
        yield Finding(GOOD, "schema", "of this version")


def _capped(overview: ClusterOverview) -> Iterator[Finding]:
    found = overview.capped()
    ordinary = [name for name, capped in found.items() if capped is False]
    absent = [name for name, capped in found.items() if capped is None]
    cure = "the next node or scheduler that connects corrects this"
    if ordinary:
        yield Finding(BAD, "capped", f"not capped, so they grow without limit: {', '.join(ordinary)}", cure)
    if absent:
        yield Finding(WARNING, "capped", f"missing: {', '.join(absent)}", cure)
    if not ordinary and not absent:
        yield Finding(GOOD, "capped", f"{' and '.join(found)} are capped")


def _clock(server: Server) -> Finding:
    off = abs(server.ahead)
    side = "ahead of" if server.ahead > 0 else "behind"
    text = f"this host is {brief(off)} {side} the server" if off >= 0.1 else "this host agrees with the server"
    if off < _CLOCK_WARNING:
        return Finding(GOOD, "clock", text)
    cure = "enable NTP on both; jobs are due by the server's clock"
    return Finding(BAD if off >= _CLOCK_BAD else WARNING, "clock", text, cure)


def _nodes(overview: ClusterOverview, node_command: str = "taskscheduler node") -> Iterator[Finding]:
    nodes, backlogs = overview.nodes(), overview.backlogs()
    up = [node for node in nodes if node_state(node) == UP]
    start = f"start one: {node_command}"
    if up:
        names = ", ".join(sorted(str(node.get("name")) for node in up))
        yield Finding(GOOD, "nodes", f"{len(up)} up: {names}")
    else:
        yield Finding(BAD if backlogs else WARNING, "nodes", "no node is up", start)
    for node in nodes:
        if node_state(node) in (SILENT, LOST):
            ago = brief(float(node.get("silent") or 0))
            text = f"{node.get('name')} is {node_state(node)}, last seen {ago} ago"
            yield Finding(WARNING, "nodes", text, "check its log; other nodes take over its jobs")
    for queue in backlogs if up else ():
        if not any(serves(node, queue.queue) for node in up):
            waiting = count(queue.waiting, queue.is_complete)
            text = f"no node that is up serves the queue {queue.queue}; jobs waiting in it: {waiting}"
            yield Finding(BAD, "queues", text, f"start a node with --queue {queue.queue}")
    for one in unknown_classes(overview, up):
        yield Finding(WARNING, "jobs", unknown_text(one), UNKNOWN_CURE)


def host_findings(embedded_is_used: bool) -> Iterator[Finding]:
    """Runs all checks on this host."""
    yield _message_queues()
    try:
        yield Finding(GOOD, "embedded", f"a server for development can run here: {find_mongod()}")
    except EmbeddedServerError as error:
        yield Finding(BAD if embedded_is_used else WARNING, "embedded", str(error))


def _message_queues() -> Finding:
    try:
        posix_ipc: Any = importlib.import_module("posix_ipc")
    except ImportError:
        cure = "pip install 'mongo-taskscheduler[daemon]'; until then nodes use sockets"
        return Finding(WARNING if sys.platform == "linux" else GOOD, "posix mq", "posix_ipc is not installed", cure)
    if not getattr(posix_ipc, "MESSAGE_QUEUES_SUPPORTED", False):
        return Finding(GOOD, "posix mq", "this system has no POSIX message queues; nodes use sockets")
    name = f"/taskscheduler-doctor-{uuid.uuid4().hex}"
    try:
        queue = posix_ipc.MessageQueue(name, posix_ipc.O_CREX, mode=0o600, max_messages=1, max_message_size=1024)
        queue.unlink()
        queue.close()
    except (OSError, ValueError, posix_ipc.Error) as error:
        cure = "raise `ulimit -q` or fs.mqueue.queues_max; until then nodes use sockets"
        return Finding(WARNING, "posix mq", f"cannot create a message queue: {error}", cure)
    return Finding(GOOD, "posix mq", "message queues work")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
