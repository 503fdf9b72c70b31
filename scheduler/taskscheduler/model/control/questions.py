"""Questions to nodes, which stand among the settings for a moment: nodes look at these anyway."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.model.control.keys import key, kind_and_name
from taskscheduler.model.sound import is_text

STACK = "stack"  #: the kind of the question where a job is


class Question(NamedTuple):
    """Asks the node of a running attempt where it is."""

    id: ObjectId
    job: ObjectId
    attempt: int
    boot: ObjectId  #: of the node
    until: datetime  #: nobody waits for the answer any longer

    @property
    def key(self) -> str:
        """The key under which it stands."""
        return key(STACK, str(self.id))

    def stored(self) -> dict[str, Any]:
        """Returns its document without the key."""
        return {"job": self.job, "attempt": self.attempt, "boot": self.boot, "until": self.until}


def read_question(document: Mapping[str, Any]) -> Question | None:
    """Reads a question from a stored setting; None if it is another one."""
    text = document.get("_id")
    kind, name = kind_and_name(str(text)) if is_text(text) else ("", "")
    if kind != STACK or not ObjectId.is_valid(name):
        return None
    job, attempt, boot, until = (document.get(field) for field in ("job", "attempt", "boot", "until"))
    sound = isinstance(job, ObjectId) and isinstance(attempt, int) and isinstance(boot, ObjectId)
    if not sound or not isinstance(until, datetime):
        return None
    return Question(ObjectId(name), job, attempt, boot, until)  # type: ignore[arg-type]  # `sound` says so
