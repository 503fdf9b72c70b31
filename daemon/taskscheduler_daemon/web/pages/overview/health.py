"""Decides what is wrong with a cluster, from what the overview has read: pure, the worst first, each with its cure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlencode

from taskscheduler.model.control.known import CURE, UnknownClass
from taskscheduler.model.control.pauses import Pause
from taskscheduler.model.failures import Failure
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.nodes import serves
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import count
from taskscheduler_daemon.presentation.node import LOST, SILENT, UNKNOWN_CURE, UP, node_state, unknown_text
from taskscheduler_daemon.presentation.pause import what
from taskscheduler_daemon.presentation.text import local, plural
from taskscheduler_daemon.web.pages.truncate import line

WRONG, WARN = "wrong", "warn"  #: nothing gets done, or not all; somebody should know

SHOWN = 5  #: problems of one kind

_MANY_QUEUES = 3  #: are named together

_MANY_FAILURES, _LARGE_PART = 10, 0.1  #: jobs, and their part of all that ended

_LATELY = 3600  #: seconds for which a lost node is told


class Problem(NamedTuple):
    """Something that is wrong, and what helps."""

    level: str
    what: str
    text: str
    cure: str = ""  #: a command
    link: str = ""  #: below the root
    button: str = ""


class Facts(NamedTuple):
    """What the overview has read."""

    nodes: Sequence[Mapping[str, Any]]
    queues: Sequence[Backlog]
    unknown: Sequence[UnknownClass]
    pauses: Sequence[Pause]
    ended: Mapping[Status, int] = MappingProxyType({})  #: within the hour
    mistakes: Sequence[Failure] = ()  #: of the last day, the most frequent first


def problems(facts: Facts) -> list[Problem]:
    """Returns what is wrong, the worst first."""
    found = [
        *_without_nodes(facts),
        *_unserved(facts),
        *_unknown(facts.unknown),
        *_failing(facts.ended, facts.mistakes),
        *_lost(facts.nodes),
        *_silent(facts.nodes),
        *_pauses(facts.pauses),
    ]
    return sorted(found, key=lambda one: one.level != WRONG)


def _up(facts: Facts) -> list[Mapping[str, Any]]:
    return [node for node in facts.nodes if node_state(node) == UP]


def _without_nodes(facts: Facts) -> Iterable[Problem]:
    if facts.queues and not _up(facts):
        yield Problem(WRONG, "No node is up", "Jobs wait, and no node is up. Start one:", CURE.partition(": ")[2])


def _unserved(facts: Facts) -> Iterable[Problem]:
    up = _up(facts)
    left = [one for one in facts.queues if up and not any(serves(node, one.queue) for node in up)]
    if len(left) > _MANY_QUEUES:
        names = ", ".join(line(one.queue, 60) for one in left[:_MANY_QUEUES])
        more, oldest = len(left) - _MANY_QUEUES, brief(max(one.oldest for one in left))
        text = f"No node that is up serves {names} and {more} more. The oldest job has waited for {oldest}."
        yield Problem(WRONG, f"{len(left)} queues are not served", text, link="control#queues", button="Show queues")
        return
    for one in left:
        name = line(one.queue, 80)
        text = f"No node that is up serves it, and its oldest job has waited for {brief(one.oldest)}."
        where = urlencode({"status": "waiting", "queue": one.queue}, errors="replace")
        yield Problem(WRONG, f"Queue {name} is not served", text, link=f"jobs?{where}", button="Show its jobs")


def _unknown(unknown: Sequence[UnknownClass]) -> Iterable[Problem]:
    for one in unknown[:SHOWN]:
        where = urlencode({"status": "live", "job": one.name}, errors="replace")
        said = line(unknown_text(one), 300)
        text = f"{said[:1].upper()}{said[1:]}; {UNKNOWN_CURE}."
        yield Problem(WRONG, "Unknown job", text, link=f"jobs?{where}", button="Show its jobs")


def _failing(ended: Mapping[Status, int], mistakes: Sequence[Failure]) -> Iterable[Problem]:
    """Tells of failures that are more than the usual few: that every queue is served would be no comfort."""
    failed, total = sum(ended.get(status, 0) for status in (Status.FAILED, Status.TIMEOUT)), sum(ended.values())
    if failed < _MANY_FAILURES or failed < _LARGE_PART * total:
        return
    text = f"{100 * failed / total:.0f} % of the jobs that ended within the hour."
    for one in mistakes[:1]:
        text += f" The most frequent mistake: {line(one.job, 80)} {line(one.type, 80)}, {plural(one.count, 'job')}."
    level = WRONG if 2 * failed >= total else WARN
    yield Problem(level, f"{count(failed)} jobs failed", text, link="failures?since=1h", button="Show failures")


def _lost(nodes: Sequence[Mapping[str, Any]]) -> Iterable[Problem]:
    lost = [node for node in nodes if node_state(node) == LOST and _silent_for(node) < _LATELY]
    if lost:
        text = f"{_names(lost)}: the other nodes have taken back their jobs."
        yield Problem(WRONG, f"{plural(len(lost), 'node')} lost", text, link="nodes", button="Show nodes")


def _silent(nodes: Sequence[Mapping[str, Any]]) -> Iterable[Problem]:
    silent = [node for node in nodes if node_state(node) == SILENT]
    if silent:
        text = f"{_names(silent)}: their leases have expired, and other nodes take their jobs back."
        yield Problem(WARN, f"{plural(len(silent), 'node')} silent", text, link="nodes", button="Show nodes")


def _names(nodes: Sequence[Mapping[str, Any]]) -> str:
    shown = ", ".join(f"{line(one.get('name') or one['_id'], 60)} ({brief(_silent_for(one))} ago)" for one in nodes[:4])
    return shown + (f" and {len(nodes) - 4} more" if len(nodes) > 4 else "")


def _silent_for(node: Mapping[str, Any]) -> float:
    return max(0.0, float(node.get("silent") or 0))


def _pauses(pauses: Sequence[Pause]) -> Iterable[Problem]:
    for one in pauses[:SHOWN]:
        who = f"by {line(one.by, 60)} " if one.by else ""
        until = f" until {local(one.until)}" if one.until else ""
        why = f": {line(one.reason, 200)}" if one.reason else ""
        text = f"{who}since {local(one.at)}{until}{why}"
        yield Problem(WARN, f"Paused: {line(what(one), 100)}", text, link="control#pauses", button="Resume…")
    if len(pauses) > SHOWN:
        text = f"{len(pauses) - SHOWN} more pauses are in force."
        yield Problem(WARN, "Paused", text, link="control#pauses", button="Show")
