"""Controls: all that people have set for the whole cluster, as it was read at one moment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from taskscheduler.model.control.groups import Group, read_group
from taskscheduler.model.control.limits import Limit, limit_for, read_limit
from taskscheduler.model.control.pauses import KINDS, Pause, read_pause
from taskscheduler.model.control.questions import Question, read_question


@dataclass(frozen=True, slots=True)
class Controls:
    """What is set. Nothing in it ever changes, so threads may share it."""

    pauses: tuple[Pause, ...] = ()  #: everything first, then queues, classes and tags, by their names
    limits: tuple[Limit, ...] = ()  #: by their names
    groups: tuple[Group, ...] = ()  #: by their names; those that have a weight
    questions: tuple[Question, ...] = field(default=(), compare=False)  #: to nodes; they change nothing that holds

    @classmethod
    def of(cls, documents: Iterable[Mapping[str, Any]]) -> Controls:
        """Reads the stored settings; one that cannot be read hides no other."""
        settings = list(documents)
        pauses = [pause for setting in settings if (pause := read_pause(setting)) is not None]
        limits = [limit for setting in settings if (limit := read_limit(setting)) is not None]
        groups = [group for setting in settings if (group := read_group(setting)) is not None]
        return cls(
            tuple(sorted(pauses, key=lambda pause: (KINDS.index(pause.kind), pause.name or ""))),
            tuple(sorted(limits, key=lambda limit: limit.name)),
            tuple(sorted(groups, key=lambda group: group.name)),
            tuple(question for setting in settings if (question := read_question(setting)) is not None),
        )

    def at(self, now: datetime) -> Controls:
        """Returns what holds at this time of the server."""
        if not any(pause.is_over(now) for pause in self.pauses):
            return self
        return replace(self, pauses=tuple(pause for pause in self.pauses if not pause.is_over(now)))

    def paused(self, kind: str) -> list[str]:
        """Returns the names of the queues, classes or tags that are paused, whatever the time."""
        return [pause.name for pause in self.pauses if pause.kind == kind and pause.name is not None]

    def pause_of(
        self, queue: Any = None, job: Any = None, tags: Collection[Any] = (), *, now: datetime
    ) -> Pause | None:
        """Returns the pause that keeps a job of this queue, class and these tags from starting; None if none does.

        `now` is the time of the server.
        """
        held = (pause for pause in self.pauses if not pause.is_over(now) and pause.holds(queue, job, tags))
        return next(held, None)

    @property
    def weights(self) -> dict[str, float]:
        """The weights of the groups that have one, by their names."""
        return {group.name: group.weight for group in self.groups}

    def limit_of(self, name: str) -> Limit | None:
        """Returns the limit that is set for a name; None if none is."""
        return limit_for(self.limits, name)

    def has_rate_only(self, name: str) -> bool:
        """Whether the limit of a name keeps a rate, and any number of its jobs may run at the same time."""
        limit = self.limit_of(name)
        return limit is not None and limit.rate is not None and limit.concurrency is None
