"""The steps from an older database to this version, and which of them are needed, and which wait for older nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from taskscheduler.model.migration.schemas import OLDEST, older_nodes


@dataclass(frozen=True, slots=True)
class Step:
    """A step towards the database of this version. Steps are taken in order, and each may be repeated."""

    name: str
    does: str
    needed_by: int = 0  #: nodes of this schema or an older one need what the step changes; 0: none does


INDEXES, PARKED_JOBS, FAILURES = "indexes", "parked-jobs", "failures"

RETENTION, PARKED = "index-retention", "index-parked"

#: the removal of an index comes last: as long as it is there, it says that a program of that version has connected
STEPS: Sequence[Step] = (
    Step(INDEXES, "make the indexes that are missing"),
    Step(PARKED_JOBS, "put jobs that version 0.1.0 has parked into the lists in which nodes look now"),
    Step(FAILURES, "give a fingerprint to jobs that version 0.1.0 has failed", OLDEST),
    Step(RETENTION, "remove the index retention, by which version 0.1.0 deletes ended jobs", OLDEST),
    Step(PARKED, "remove the index parked, by which version 0.1.0 finds parked jobs", OLDEST),
)


class StepState(StrEnum):
    """What is to be done about a step, or was."""

    NOT_NEEDED = "not needed"
    NEEDED = "needed"
    WAITS = "waits"  #: nodes of an older version run that need what it changes
    DONE = "done"


#: the states of steps that are behind the database
SETTLED = (StepState.NOT_NEEDED, StepState.DONE)


@dataclass(frozen=True, slots=True)
class StepReport:
    """A step, its state, and what was found or done."""

    number: int
    step: Step
    state: StepState
    found: str = ""  #: what there is to do, in words
    changed: int = 0  #: how many jobs or indexes were changed
    nodes: Sequence[str] = ()  #: those that the step waits for

    @property
    def is_settled(self) -> bool:
        """Whether nothing of this step is left to do."""
        return self.state in SETTLED


def report(
    number: int, found: str, nodes: Iterable[Mapping[str, Any]], before: Iterable[StepReport] = ()
) -> StepReport:
    """Returns the report of the step of this number before it is taken; `found`: what there is to do, if anything.

    A step waits with those `before` it, since the last one removes what tells that they are needed.
    """
    step = STEPS[number - 1]
    if not found:
        return StepReport(number, step, StepState.NOT_NEEDED)
    waiting = [name for other in before if other.state is StepState.WAITS for name in other.nodes]
    older = older_nodes(nodes, step.needed_by) or (waiting if step.needed_by else [])
    return StepReport(number, step, StepState.WAITS if older else StepState.NEEDED, found, nodes=older)
