"""The life cycle of a job: its statuses, the one table of transitions between them, and the ends of attempts.

             PROMOTE                CLAIM                   SUCCEED
POSTPONED ───────────► WAITING ───────────► PROCESSING ───────────────► DONE
    ▲                     ▲                     │ │ │
    │                     └── RELEASE ──────────┤ │ ├── FAIL, POISON ──► FAILED
    │                         RETRY_NOW         │ │ └── EXPIRE ────────► TIMEOUT
    └──────────── RETRY, SNOOZE ────────────────┘ │
WAITING, POSTPONED, PROCESSING ── CANCEL ──► CANCELED;  ── FAIL_PARENT, REFUSE ──► FAILED
WAITING, POSTPONED ── CANCEL_LATE ──► CANCELED;  ── FAIL_LATE ──► FAILED;  ── EXPIRE_LATE ──► TIMEOUT
WAITING, POSTPONED ── POSTPONE ──► POSTPONED;  WAITING ── PARK ──► POSTPONED;  POSTPONED ── UNPARK ──► WAITING
PROCESSING ── DEFER ──► POSTPONED;  POSTPONED ── TAKE_TURN, FOLLOW ──► PROCESSING
DONE, FAILED, CANCELED, TIMEOUT ── REQUEUE ──► WAITING;  ── REQUEUE_CONTROLLED, REQUEUE_LATER ──► POSTPONED
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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

    is_final: bool  #: whether a job with this status has ended; only a retry changes it again

    @classmethod
    def _missing_(cls, value: object) -> Status:
        """Returns what stands for a stored value that is no status: it is shown as `unreadable` and is not final."""
        number = value if isinstance(value, int) else -1
        unreadable = int.__new__(cls, number)
        unreadable._name_, unreadable._value_ = "UNREADABLE", number
        unreadable.is_final = False
        return unreadable

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

for _status in Status:  # asked several times on the way of a job
    _status.is_final = _status in FINAL

UNSUCCESSFUL = FINAL - {Status.DONE}

DEAD_LETTERS = frozenset({Status.FAILED, Status.TIMEOUT})


class Transition(Enum):
    """Every reason for a change of status."""

    __hash__ = object.__hash__  # that of an Enum is written in Python, and there are several look-ups for each job

    PROMOTE = auto()  #: it is due
    CLAIM = auto()  #: a node claims it
    SUCCEED = auto()
    FAIL = auto()
    EXPIRE = auto()  #: it ran longer than its timeout
    RETRY = auto()  #: failed or expired; it is tried again after a pause
    RETRY_NOW = auto()  #: the same without a pause
    SNOOZE = auto()  #: it asked to begin again later
    RELEASE = auto()  #: handed back, or its worker or node was lost
    POISON = auto()  #: lost too many workers or nodes
    CANCEL = auto()
    FAIL_PARENT = auto()  #: one of its children failed
    CANCEL_LATE = auto()  #: it has not started in time
    FAIL_LATE = auto()  #: it failed, and its next try has not begun in time
    EXPIRE_LATE = auto()  #: the same for one that ran longer than its timeout
    REFUSE = auto()  #: its stored document cannot be used
    REQUEUE = auto()  #: ended, and somebody retries it
    REQUEUE_CONTROLLED = auto()  #: the same for a job that waits for a control before it waits for a slot
    REQUEUE_LATER = auto()  #: the same for a job that shall not start yet
    POSTPONE = auto()  #: somebody puts off a queued job
    DEFER = auto()  #: claimed when its rate allowed no start; handed back before it began
    PARK = auto()  #: it is due, and a control holds it back
    UNPARK = auto()  #: the control holds it back no more
    TAKE_TURN = auto()  #: a node claims it, as it is the turn of its group
    FOLLOW = auto()  #: a node claims it, as the jobs before it in its flow have ended there


TRANSITIONS: Mapping[Transition, tuple[frozenset[Status], Status]] = {
    Transition.PROMOTE: (frozenset({Status.POSTPONED}), Status.WAITING),
    Transition.CLAIM: (frozenset({Status.WAITING}), Status.PROCESSING),
    Transition.SUCCEED: (RUNNING, Status.DONE),
    Transition.FAIL: (RUNNING, Status.FAILED),
    Transition.EXPIRE: (RUNNING, Status.TIMEOUT),
    Transition.RETRY: (RUNNING, Status.POSTPONED),
    Transition.RETRY_NOW: (RUNNING, Status.WAITING),
    Transition.SNOOZE: (RUNNING, Status.POSTPONED),
    Transition.RELEASE: (RUNNING, Status.WAITING),
    Transition.POISON: (RUNNING, Status.FAILED),
    Transition.CANCEL: (LIVE, Status.CANCELED),
    Transition.FAIL_PARENT: (LIVE, Status.FAILED),
    Transition.CANCEL_LATE: (QUEUED, Status.CANCELED),
    Transition.FAIL_LATE: (QUEUED, Status.FAILED),
    Transition.EXPIRE_LATE: (QUEUED, Status.TIMEOUT),
    Transition.REFUSE: (LIVE, Status.FAILED),
    Transition.REQUEUE: (FINAL, Status.WAITING),
    Transition.REQUEUE_CONTROLLED: (FINAL, Status.POSTPONED),
    Transition.REQUEUE_LATER: (FINAL, Status.POSTPONED),
    Transition.POSTPONE: (QUEUED, Status.POSTPONED),
    Transition.DEFER: (RUNNING, Status.POSTPONED),
    Transition.PARK: (frozenset({Status.WAITING}), Status.POSTPONED),
    Transition.UNPARK: (frozenset({Status.POSTPONED}), Status.WAITING),
    Transition.TAKE_TURN: (frozenset({Status.POSTPONED}), Status.PROCESSING),
    Transition.FOLLOW: (frozenset({Status.POSTPONED}), Status.PROCESSING),
}


def target(transition: Transition) -> Status:
    """Returns the status that a transition leads to."""
    return TRANSITIONS[transition][1]


def sources(transition: Transition) -> frozenset[Status]:
    """Returns the statuses that a transition may start from."""
    return TRANSITIONS[transition][0]


class Ending(Enum):
    """How an attempt ended, as its node sees it."""

    __hash__ = object.__hash__  # as above

    SUCCEEDED = auto()
    FAILED = auto()  #: the job raised
    TIMED_OUT = auto()
    LOST = auto()  #: its worker or node died, and it may be the cause
    RETURNED = auto()  #: handed back: interrupted by others, or never begun
    UNSTARTED = auto()  #: handed back before it began, so that the attempt does not count
    SUSPECTED = auto()  #: its worker or node died while several ran there
    SNOOZED = auto()  #: it asked to begin again later


@dataclass(frozen=True, slots=True)
class Verdict:
    """The transition of a job after an attempt has ended."""

    move: Transition
    plans_next: bool = False  #: the same write plans the next run of the series
    pause: float | None = None  #: seconds until it begins again; None: as its option `retry_interval` says
    failures: int | None = None  #: quick failures of a service in a row
    given_up: str = ""  #: why it is not tried again although it has a retry left
    status: Status = field(init=False)  #: that the job gets

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", target(self.move))
