"""Reasons: why a job does not run now, in a word for programs and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

MOST_COUNTED = 1000  #: jobs; one more is counted, to tell that there are more


class Code(StrEnum):
    """What keeps a job from running, in the order of evaluation; and that it runs, or has ended."""

    ENDED = "ENDED"
    RUNNING = "RUNNING"
    NOT_DUE = "NOT_DUE"  #: its time has not come
    WAITING_FOR = "WAITING_FOR"  #: another job or a signal
    NO_NODE = "NO_NODE"  #: no node is up
    NO_NODE_SERVES = "NO_NODE_SERVES"  #: none serves its queue
    NO_NODE_KNOWS = "NO_NODE_KNOWS"  #: none that serves its queue knows its class
    PAUSED = "PAUSED"
    SEQUENCE = "SEQUENCE"  #: it is the turn of another job
    LIMIT = "LIMIT"  #: all places are taken
    SOLO = "SOLO"  #: another job with its key may run
    RATE = "RATE"  #: as many have started as may
    BEHIND = "BEHIND"  #: others are before it
    SLOTS = "SLOTS"  #: it is the next, and all slots are busy


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a job does not run now."""

    code: Code
    text: str  #: for people
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))  #: what the text says, for programs

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


def for_seconds(seconds: float) -> str:
    """Returns a duration as people say it: `3 s`, `12 min`, `5 h`, `4 days`."""
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def many(count: int, one: str, several: str) -> str:
    """Returns a count that ends at MOST_COUNTED with a noun: `1 job`, `3 jobs`, `more than 1 000 jobs`."""
    if count > MOST_COUNTED:
        return f"more than {MOST_COUNTED:,} {several}".replace(",", " ")
    return f"{count} {one if count == 1 else several}"
