"""The life cycle of a job: its statuses, the one table of transitions between them, and the ends of attempts.

             PROMOTE                CLAIM                   SUCCEED
POSTPONED ───────────► WAITING ───────────► PROCESSING ───────────────► DONE
    ▲                     ▲                     │ │ │
    │                     └── RELEASE ──────────┤ │ ├── FAIL, POISON ──► FAILED
    │                         RETRY_NOW         │ │ └── EXPIRE ────────► TIMEOUT
    └──────────── RETRY ────────────────────────┘ │
WAITING, POSTPONED, PROCESSING ── CANCEL ──► CANCELED;  ── FAIL_PARENT, REFUSE ──► FAILED
DONE, FAILED, CANCELED, TIMEOUT ── REQUEUE ──► WAITING;  ── REQUEUE_SOLO ──► POSTPONED
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, auto


class Status(IntEnum):
    """The status of a job. The numbers are stored; the PHP original uses the same."""

    WAITING = 0
    POSTPONED = 1
    PROCESSING = 2
    DONE = 3
    FAILED = 4
    CANCELED = 5
    TIMEOUT = 6

    @classmethod
    def _missing_(cls, value: object) -> Status:
        """Returns what stands for a stored value that is no status: it is shown as `unreadable` and is not final."""
        number = value if isinstance(value, int) else -1
        unreadable = int.__new__(cls, number)
        unreadable._name_, unreadable._value_ = "UNREADABLE", number
        return unreadable

    @property
    def is_final(self) -> bool:
        """Whether a job with this status has ended; only a retry changes it again."""
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
    """Every reason for a change of status."""

    PROMOTE = auto()  #: it is due
    CLAIM = auto()  #: a node claims it
    SUCCEED = auto()
    FAIL = auto()
    EXPIRE = auto()  #: it ran longer than its timeout
    RETRY = auto()  #: failed or expired; it is tried again after a pause
    RETRY_NOW = auto()  #: the same without a pause
    RELEASE = auto()  #: handed back, or its worker or node was lost
    POISON = auto()  #: lost too many workers or nodes
    CANCEL = auto()
    FAIL_PARENT = auto()  #: one of its children failed
    REFUSE = auto()  #: its stored document cannot be used
    REQUEUE = auto()  #: ended, and somebody retries it
    REQUEUE_SOLO = auto()  #: the same for a solo job, which waits for the lock of its key


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
    Transition.REFUSE: (LIVE, Status.FAILED),
    Transition.REQUEUE: (FINAL, Status.WAITING),
    Transition.REQUEUE_SOLO: (FINAL, Status.POSTPONED),
}


def target(transition: Transition) -> Status:
    """Returns the status that a transition leads to."""
    return TRANSITIONS[transition][1]


def sources(transition: Transition) -> frozenset[Status]:
    """Returns the statuses that a transition may start from."""
    return TRANSITIONS[transition][0]


class Ending(Enum):
    """How an attempt ended, as its node sees it."""

    SUCCEEDED = auto()
    FAILED = auto()  #: the job raised
    TIMED_OUT = auto()
    LOST = auto()  #: its worker or node died
    RETURNED = auto()  #: handed back by a node that stops
    UNSTARTED = auto()  #: handed back before it began


@dataclass(frozen=True, slots=True)
class Verdict:
    """The transition of a job after an attempt has ended."""

    move: Transition
    plans_next: bool = False  #: the same write plans the next run of the series
    pause: float | None = None  #: seconds until a service is started again
    failures: int | None = None  #: quick failures of a service in a row

    @property
    def status(self) -> Status:
        """The status that the job gets."""
        return target(self.move)
