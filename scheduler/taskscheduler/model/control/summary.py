"""Counts the jobs that do not run by what keeps them from it, without a look at each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from taskscheduler.model.control.keys import FLOW, GROUP, LIMIT, NODE, RATE, SEQUENCE, SOLO
from taskscheduler.model.control.pauses import PAUSE, Pause
from taskscheduler.model.control.reasons import MOST_COUNTED, Code
from taskscheduler.model.nodes import NodeState, serves, state_of

#: what keeps the jobs back that are parked in the lists of controls of a kind
CODES = {
    NODE: Code.NO_NODE_KNOWS,
    PAUSE: Code.PAUSED,
    SEQUENCE: Code.SEQUENCE,
    LIMIT: Code.LIMIT,
    SOLO: Code.SOLO,
    RATE: Code.RATE,
    GROUP: Code.BEHIND,
    FLOW: Code.WAITING_FOR,
}


def by_code(
    parked: Mapping[str, int],
    waiting: Mapping[str, int],
    nodes: Iterable[Mapping[str, Any]],
    pauses: Iterable[Pause],
) -> Counter[Code]:
    """Returns how many due jobs do not run, by code.

    `parked`: how many jobs are in the lists of each kind of control. `waiting`: how many wait for a slot, by queue.
    `pauses`: those that hold now.
    """
    up = [node for node in nodes if state_of(node) is NodeState.UP]
    counts = Counter[Code]()
    for kind, number in parked.items():
        counts[CODES[kind] if up or kind == FLOW else Code.NO_NODE] += number
    for code, queues in queues_by_code(waiting, up, pauses).items():
        counts[code] += sum(waiting[queue] for queue in queues)
    return counts


def queues_by_code(
    queues: Iterable[str], nodes: Iterable[Mapping[str, Any]], pauses: Iterable[Pause]
) -> dict[Code, list[str]]:
    """Returns the queues by what keeps those of their jobs from running that wait for a slot."""
    up, held = [node for node in nodes if state_of(node) is NodeState.UP], list(pauses)
    found: dict[Code, list[str]] = {}
    for queue in queues:
        found.setdefault(_code_of(queue, up, held), []).append(queue)
    return found


def _code_of(queue: str, up: Iterable[Mapping[str, Any]], pauses: Iterable[Pause]) -> Code:
    """Returns what keeps the jobs of a queue that wait for a slot from running."""
    if not up:
        return Code.NO_NODE
    if not any(serves(node, queue) for node in up):
        return Code.NO_NODE_SERVES
    return Code.PAUSED if any(pause.holds(queue) for pause in pauses) else Code.SLOTS


def capped(counts: Mapping[Code, int]) -> dict[Code, int]:
    """Returns the counts in the order of evaluation, each up to MOST_COUNTED + 1, without those of no job."""
    return {code: min(counts[code], MOST_COUNTED + 1) for code in Code if counts.get(code)}
