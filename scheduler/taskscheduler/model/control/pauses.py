"""Pauses: what nodes must not start now, who has said so and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from taskscheduler.model.sound import is_text

ALL, QUEUE, JOB, TAG = "all", "queue", "job", "tag"

KINDS = (ALL, QUEUE, JOB, TAG)

PAUSE = "pause"  #: what a stored setting that is a pause begins with, and its `kind`


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that somebody has set: nodes start none of its jobs. Jobs that run go on."""

    kind: str  #: what is paused: "all", "queue", "job" or "tag"
    name: str | None = None  #: of the queue, the job's class or the tag; None if everything is paused
    reason: str | None = None
    until: datetime | None = None  #: when it ends by itself; None: when somebody resumes it
    by: str | None = None  #: who has set it: user@host
    at: datetime | None = None  #: when it was set

    @property
    def key(self) -> str:
        """The key under which it is stored: only one pause of a thing is."""
        return PAUSE + ":" + self.kind + ("" if self.name is None else f":{self.name}")

    def is_over(self, now: datetime) -> bool:
        """Whether it has ended by itself."""
        return self.until is not None and self.until <= now

    def holds(self, queue: Any = None, job: Any = None, tags: Collection[Any] = ()) -> bool:
        """Whether it is a pause of jobs of this queue, class or one of these tags, whatever the time."""
        if self.kind == TAG:
            return self.name in tags
        return self.kind == ALL or self.name == {QUEUE: queue, JOB: job}[self.kind]


def pause_of_key(key: Any) -> Pause | None:
    """Returns the pause that a key stands for, without more about it; None if it is the key of no pause."""
    parts = key.split(":", 2) if is_text(key) else []
    if parts == [PAUSE, ALL]:
        return Pause(ALL)
    is_named = len(parts) == 3 and parts[0] == PAUSE and parts[1] in (QUEUE, JOB, TAG) and parts[2] != ""
    return Pause(parts[1], parts[2]) if is_named else None


def read_pause(document: Mapping[str, Any]) -> Pause | None:
    """Reads a stored pause; None if it is none. It holds whatever else stands in its document."""
    pause = pause_of_key(document.get("_id"))
    if pause is None:
        return None
    texts = {name: value for name in ("reason", "by") if is_text(value := document.get(name))}
    dates = {name: value for name in ("until", "at") if isinstance(value := document.get(name), datetime)}
    known: dict[str, Any] = {**texts, **dates}
    return replace(pause, **known)
