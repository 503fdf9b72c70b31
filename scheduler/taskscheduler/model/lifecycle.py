"""Decides every change of a job's status: one table of moves, and what follows when an attempt ends.

             PROMOTE                CLAIM                   SUCCEED
POSTPONED ───────────► WAITING ───────────► PROCESSING ───────────────► DONE
    ▲                     ▲                     │ │ │
    │                     └── RELEASE ──────────┤ │ ├── FAIL, POISON ──► FAILED
    │                         RETRY_NOW         │ │ └── EXPIRE ────────► TIMEOUT
    └──────────── RETRY ────────────────────────┘ │
WAITING, POSTPONED, PROCESSING ── CANCEL ──► CANCELED;  ── FAIL_PARENT ──► FAILED
DONE, FAILED, CANCELED, TIMEOUT ── REQUEUE ──► WAITING;  ── REQUEUE_SOLO ──► POSTPONED
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, auto


class Status(IntEnum):
    """Where a job stands. The numbers are stored, and those of the PHP original."""

    WAITING = 0
    POSTPONED = 1
    PROCESSING = 2
    DONE = 3
    FAILED = 4
    CANCELED = 5
    TIMEOUT = 6

    @property
    def is_final(self) -> bool:
        """Whether a job with this status never changes again, unless somebody asks for another try."""
        return self in FINAL

    @property
    def label(self) -> str:
        """The name for people and events: `waiting`, `done`, ..."""
        return self.name.lower()

    def __str__(self) -> str:
        return self.label


QUEUED = frozenset({Status.WAITING, Status.POSTPONED})

RUNNING = frozenset({Status.PROCESSING})

LIVE = QUEUED | RUNNING

FINAL = frozenset(Status) - LIVE

UNSUCCESSFUL = FINAL - {Status.DONE}


class Transition(Enum):
    """Every reason for which a status may change."""

    PROMOTE = auto()  #: its time has come
    CLAIM = auto()  #: a node takes it
    SUCCEED = auto()
    FAIL = auto()
    EXPIRE = auto()  #: it ran longer than its timeout
    RETRY = auto()  #: failed or expired, to be tried again later
    RETRY_NOW = auto()  #: the same without a pause
    RELEASE = auto()  #: handed back, or its worker or node was lost
    POISON = auto()  #: it killed too many workers
    CANCEL = auto()
    FAIL_PARENT = auto()  #: one of its children failed
    REQUEUE = auto()  #: it has ended, and somebody wants it tried once more
    REQUEUE_SOLO = auto()  #: the same for a solo job, which must wait for its turn


TRANSITIONS: Mapping[Transition, tuple[frozenset[Status], Status]] = {
    Transition.PROMOTE: (frozenset({Status.POSTPONED}), Status.WAITING),
    Transition.CLAIM: (frozenset({Status.WAITING}), Status.PROCESSING),
    Transition.SUCCEED: (RUNNING, Status.DONE),
    Transition.FAIL: (RUNNING, Status.FAILED),
    Transition.EXPIRE: (RUNNING, Status.TIMEOUT),
    Transition.RETRY: (RUNNING, Status.POSTPONED),
    Transition.RETRY_NOW: (RUNNING, Status.WAITING),
    Transition.RELEASE: (RUNNING, Status.WAITING),
    Transition.POISON: (RUNNING, Status.FAILED),
    Transition.CANCEL: (LIVE, Status.CANCELED),
    Transition.FAIL_PARENT: (LIVE, Status.FAILED),
    Transition.REQUEUE: (FINAL, Status.WAITING),
    Transition.REQUEUE_SOLO: (FINAL, Status.POSTPONED),
}


def target(move: Transition) -> Status:
    """The status that `move` leads to."""
    return TRANSITIONS[move][1]


def sources(move: Transition) -> frozenset[Status]:
    """The statuses that `move` may start from."""
    return TRANSITIONS[move][0]


class Ending(Enum):
    """How an attempt ended, as the node learns it."""

    SUCCEEDED = auto()
    FAILED = auto()  #: the job raised
    TIMED_OUT = auto()
    LOST = auto()  #: the worker or the node died under it
    RETURNED = auto()  #: handed back by a node that stops
    UNSTARTED = auto()  #: handed back before it began


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an ended attempt makes of its job."""

    move: Transition
    plans_next: bool = False  #: the next run of the series is planned by the same write
    pause: float | None = None  #: of a service that runs again: seconds until then
    failures: int | None = None  #: the same: its quick failures in a row

    @property
    def status(self) -> Status:
        return target(self.move)
