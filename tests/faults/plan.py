"""Pure: which faults a seed stands for, in which order and with which pauses.

Faults of processes and faults of servers come in two lanes that run side by side; in each lane one fault is healed
before the next begins. Each lane deals its faults like cards, so that a short run sees many different ones.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: how often each fault lies in the deck
PROCESS_FAULTS: Mapping[str, int] = {
    "kill worker": 3,
    "ask worker to end": 2,
    "pause worker": 2,
    "kill manager": 2,
    "ask manager to end": 1,
    "pause manager": 1,
    "kill node": 2,
    "pause node process": 2,
    "freeze node": 2,
    "stop node": 1,
    "ask all of a node to end": 2,
    "recycle workers": 1,
    "cut node off": 2,
    "hold node's connections": 1,
    "kill producer": 1,
    "kill listener": 1,
    "kill all nodes": 1,
    "kill program": 2,
    "pause program": 1,
    "cut program off": 1,
}
SERVER_FAULTS: Mapping[str, int] = {
    "step down": 2,
    "kill primary": 2,
    "kill secondary": 1,
    "pause primary": 1,
    "pause all servers for half a lease": 2,
    "majority lost": 1,
    "replication stalls": 1,
    "cut primary off": 1,
    "hold primary's connections": 1,
    "delay a member": 1,
    "reset all connections": 1,
    "fail commands": 3,
    "fail after writing": 2,
    "drop message queue": 1,
    "shrink message queue": 1,
    "drop event log": 1,
    "roll the oplog over": 1,
    "power loss": 1,
}
#: names for several faults, for `--only`
GROUPS: Mapping[str, Sequence[str]] = {
    "schedules": (
        "kill node",
        "kill all nodes",
        "freeze node",
        "pause node process",
        "stop node",
        "cut node off",
        "step down",
        "kill primary",
        "pause primary",
        "majority lost",
    )
}
#: a run begins with these, which make the mechanisms show that a quiet run would not
_FIRST = {"process": ["pause node process", "kill node"], "server": ["kill primary", "roll the oplog over"]}
_PAUSES = {"process": (0.5, 2.5), "server": (1.5, 4.0)}


@dataclass(frozen=True, slots=True)
class Step:
    """One fault to come: what, after which pause, and a number that chooses its target and details."""

    fault: str
    pause: float
    choice: float


def plan(seed: int, lane: str, length: int = 10_000, only: Sequence[str] | None = None) -> list[Step]:
    """The first `length` faults of a lane (`process` or `server`), of all or `only` of these."""
    dealer, dice = random.Random(f"{seed}-{lane}-faults"), random.Random(f"{seed}-{lane}-times")
    faults = PROCESS_FAULTS if lane == "process" else SERVER_FAULTS
    chosen = {fault: count for fault, count in faults.items() if only is None or fault in only}
    names = [fault for fault in _FIRST[lane] if fault in chosen]
    while chosen and len(names) < length:
        names += _dealt(chosen, dealer)
    return [Step(fault, dice.uniform(*_PAUSES[lane]), dice.random()) for fault in names[:length]]


def _dealt(faults: Mapping[str, int], generator: random.Random) -> list[str]:
    """All cards once around in random order, each fault first once, so that none waits for its double."""
    once, rest = list(faults), [fault for fault, count in faults.items() for _ in range(count - 1)]
    generator.shuffle(once)
    generator.shuffle(rest)
    return once + rest
