"""What a job of a flow carries, and what its end means for those that come after it.

A *join* is a set of jobs that others come after. Its id is an ObjectId: of a join of one job whose failure cancels what
comes after it, the id of that job; of all jobs that nobody comes after, the id of the flow; else a new one.

| field        | of a job of a flow                                                                                  |
| ------------ | --------------------------------------------------------------------------------------------------- |
| `flow`       | the id of its flow                                                                                  |
| `label`      | its name in the flow, unique there                                                                  |
| `joins`      | the joins that it is a member of, never empty                                                       |
| `open`       | those of them that still wait for it; the write that makes it DONE removes the field                |
| `soft`       | those of its joins that do not mind how it ends; the join of the flow is always one                 |
| `after`      | the join that it comes after                                                                        |
| `on_failure` | what a failure in that join means for it: `run`, `skip`; without the field it is cancelled          |
| `inputs`     | where results of others go in its data, see `inputs.py`                                             |
| `feeds`      | whether another job takes its result                                                                |
| `adder`      | the job of the flow that has added it                                                               |
| `fallen`     | True if it was cancelled since its join is never complete                                           |

A join is complete when no job has it in `open`. Until then the jobs that come after it are parked, as jobs under
controls are: `blocked` is `flow:` and the id of the join. So the index `blocked` finds the dependents of a join, and
the index `open` tells whether it is complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.model.control.keys import FLOW, key, kind_and_name
from taskscheduler.model.sound import is_text

CANCEL, RUN, SKIP = "cancel", "run", "skip"  #: what a failure means for a job that comes after

POLICIES = (CANCEL, RUN, SKIP)

FALLEN = "fallen"

#: the fields that tell what the end of a job means for its flow
MEMBER_FIELDS = ("flow", "joins", "soft", "feeds")


class Membership(NamedTuple):
    """The flow of a job, and the joins that it is a member of."""

    flow: ObjectId
    joins: tuple[ObjectId, ...]
    soft: frozenset[ObjectId] = frozenset()  #: without the join of the flow
    feeds: bool = False
    stored: int | None = None  #: how many joins it had when this was read; more may be added while it runs

    @property
    def hard(self) -> list[ObjectId]:
        """The joins that are never complete if the job fails."""
        return [one for one in self.joins if one not in self.soft and one != self.flow]

    @property
    def lenient(self) -> list[ObjectId]:
        """The joins that do not mind how the job ends."""
        return [one for one in self.joins if one in self.soft or one == self.flow]


def membership_of(job: Mapping[str, Any]) -> Membership | None:
    """Returns what the end of a stored job means for its flow; None for a job of no flow."""
    flow = job.get("flow")
    if not isinstance(flow, ObjectId):
        return None
    joins = job.get("joins")
    stored = len(joins) if isinstance(joins, list) else None
    return Membership(flow, _ids(joins), frozenset(_ids(job.get("soft"))), job.get("feeds") is True, stored)


def _ids(value: Any) -> tuple[ObjectId, ...]:
    """Returns the ids in a list, which anybody may have stored."""
    return tuple(one for one in value if isinstance(one, ObjectId)) if isinstance(value, list) else ()


def join_key(join: ObjectId) -> str:
    """Returns the list in which the jobs wait that come after a join."""
    return key(FLOW, str(join))


def join_of(text: Any) -> ObjectId | None:
    """Returns the join whose list this is; None for another list."""
    kind, name = kind_and_name(text) if is_text(text) else ("", "")
    return ObjectId(name) if kind == FLOW and ObjectId.is_valid(name) else None


def waits_for_join(job: Mapping[str, Any]) -> bool:
    """Whether a queued job waits until the jobs that it comes after have ended."""
    return "parked_at" in job and join_of(job.get("blocked")) is not None


def comes_after(job: Mapping[str, Any]) -> ObjectId | None:
    """Returns the join that an ended job waits for if it is put back in the queue; None if it has begun before."""
    after = job.get("after")
    return after if isinstance(after, ObjectId) and not job.get("attempt") else None
