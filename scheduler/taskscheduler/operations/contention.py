"""What all ways to add a job have in common: what they return, and how long they compete for a key."""

from __future__ import annotations

from taskscheduler.clock import Deadline
from taskscheduler.errors import SchedulerError
from taskscheduler.model.document import Document, NewJob
from taskscheduler.model.process_state import AddOutcome

PATIENCE = 30.0  #: seconds for which an adder competes with others that add the same job

Added = tuple[Document, AddOutcome]  #: a stored job, and what was done


def check_contention(new: NewJob, deadline: Deadline) -> None:
    """Raises SchedulerError if an adder has competed for long enough."""
    if deadline.passed:
        raise SchedulerError(
            f"other programs added and ended job {new.document['class']} with the same key again and again for "
            f"{PATIENCE:g} s; try again"
        )
