"""Decides who is charged when the process that held an attempt has ended, and which attempts are run alone then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskscheduler.model.lifecycle import Ending

WORKER, NODE = "worker", "node"  #: what has died with a suspect, and what it has to itself when it runs next

NODE_LOST = "NodeLostError"  #: the type of the error of an attempt whose node was lost

LEASE_ENDED = "the lease of its node ended while it ran"

#: signals to the same job in a row, after which it counts as the one who sends them: no operator is so patient
MOST_SIGNALS = 30


def ending_of_lost(begun: bool, together: int, requested: bool = False) -> Ending:
    """Returns how an attempt ended whose worker, manager or node is gone. `together` attempts had begun there.

    | the process                                | not begun | alone    | beside others |
    | ------------------------------------------ | --------- | -------- | ------------- |
    | died: crash, exit, SIGKILL from outside    | RETURNED  | LOST     | SUSPECTED     |
    | was requested to end: by its node, by the  | RETURNED  | RETURNED | RETURNED      |
    | signal of an operator, by a lease that ended |         |          |               |

    Only LOST is charged. RETURNED and SUSPECTED run again without a charge. A suspect runs alone: one that died in a
    worker gets a worker of its own, one that died with a manager or a node gets a node of its own. If that dies again,
    the suspect was alone and is charged; if the attempt ends in any other way, the job is no suspect any more.
    """
    if requested or not begun:
        return Ending.RETURNED
    return Ending.LOST if together <= 1 else Ending.SUSPECTED


def suspect_of(job: Mapping[str, Any]) -> str | None:
    """Returns what a stored job has to itself when it runs, WORKER or NODE; None for a job that is no suspect."""
    mark = job.get("suspect")
    return None if mark is None or "service" in job else str(mark["of"])


def times_suspected(job: Mapping[str, Any]) -> int:
    """Returns how often in a row a stored job was beside others in what died."""
    mark = job.get("suspect")
    return 0 if mark is None else int(mark["times"])


def mark_after(ending: Ending, job: Mapping[str, Any], of: str) -> dict[str, Any] | None:
    """Returns the mark of a job after an attempt at it; `of` is what has died if it is suspected.

    A service gets none: it is never set aside, so nobody has to find out. It pauses longer after each loss.
    """
    mark = job.get("suspect")
    if ending is Ending.SUSPECTED and "service" not in job:
        wider = NODE if NODE in (of, suspect_of(job)) else WORKER
        return {"of": wider, "times": times_suspected(job) + 1}
    return mark if ending in (Ending.LOST, Ending.RETURNED, Ending.UNSTARTED) else None


def is_alone(job: Mapping[str, Any]) -> bool:
    """Whether the database says that nothing else runs on the node of this running suspect, or a part of a crowd."""
    mark = job.get("suspect")
    return mark is not None and mark.get("alone") == job["claim"]


def is_in_part(job: Mapping[str, Any]) -> bool:
    """Whether it was a part of a crowd that ran, of which the others may have ended since."""
    return is_alone(job) and job["suspect"].get("part") is True
