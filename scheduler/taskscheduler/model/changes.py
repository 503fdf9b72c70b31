"""What may be changed of a stored job, by update_job and by a retry: checked, as fields of its document."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import checked, near_miss
from taskscheduler.model.control.keys import FAR, first_list, is_controlled, read_group_list
from taskscheduler.model.document import due
from taskscheduler.model.flows.membership import waits_for_join
from taskscheduler.model.lifecycle import Transition, target
from taskscheduler.model.options import JOB_CHECKS, At
from taskscheduler.model.sound import is_text, sound
from taskscheduler.model.uniqueness import once_key

#: options of a queued job that can be changed, and of an ended one that is put back in the queue
UPDATE_OPTIONS = ("priority", "at", "queue", "tags")
RETRY_OPTIONS = (
    *UPDATE_OPTIONS, "retry", "retry_interval", "backoff", "retry_interval_max", "jitter", "retry_for", "timeout",
    "silence_timeout",
)  # fmt: skip

_LONGEST_REASON = 500

_KEYS = ("once", "once_key", "dedupe")  #: the fields of a job that may depend on its data


class Unchanged(Enum):
    """Stands for data that shall stay as they are; None is data, too."""

    UNCHANGED = "unchanged"

    def __repr__(self) -> str:
        return self.name


UNCHANGED = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class JobChanges:
    """Checked changes of jobs: fields of their documents, their data and when they are due."""

    fields: Mapping[str, Any] = field(default_factory=dict)  #: None for one to remove
    at: At | None = None
    data: Any = UNCHANGED

    @classmethod
    def of(cls, given: Mapping[str, Any], data: Any, allowed: Collection[str]) -> JobChanges:
        """Checks the options that are given; InvalidOptionError for one that cannot be changed or has a bad value."""
        for name in given:
            if name not in allowed:
                near = near_miss(name, allowed) if name not in JOB_CHECKS else ""
                hint = near or f"; those that can are {', '.join(allowed)}"
                raise InvalidOptionError(f"option {name} cannot be changed{hint}")
        values = checked(given, JOB_CHECKS)
        at = values.pop("at", None)
        return cls({_field(name): _stored(name, value) for name, value in values.items()}, at, data)

    @property
    def has_data(self) -> bool:
        """Whether the data change."""
        return self.data is not UNCHANGED

    def __bool__(self) -> bool:
        return bool(self.fields) or self.at is not None or self.has_data

    def due_at(self, date: datetime) -> JobChanges:
        """Returns the same changes with the option `at` among the fields, if it changes: as it is stored."""
        if self.at is None:
            return self
        return replace(self, fields={**self.fields, "options.at": date.timestamp()})

    def due(self, now: datetime) -> datetime | None:
        """Returns when the jobs become due; None if that does not change."""
        return None if self.at is None else due(self.at, now)


def _field(name: str) -> str:
    return name if name in ("queue", "priority", "tags") else f"options.{name}"


def _stored(name: str, value: Any) -> Any:
    if name == "tags":
        return list(value) or None
    return list(value) if isinstance(value, tuple) else value


def keys_of(job: Mapping[str, Any]) -> list[str]:
    """Returns the fields of a job that hold a key which its data decide."""
    return [name for name in _KEYS if is_text(job.get(name)) and job[name].startswith("data:")]


def rekeyed(job: Mapping[str, Any], data: Any) -> dict[str, str]:
    """Returns the keys of add_job_once and `dedupe` that a job gets with other data; InvalidDataError."""
    keys = keys_of(job)
    key = once_key(str(job.get("class")), data, ignore_data=False) if keys else ""
    return dict.fromkeys(keys, key)


def timing(job: Mapping[str, Any], at: datetime, now: datetime) -> dict[str, Any]:
    """Returns the fields that make a queued job due at another time; None for one to remove.

    A controlled job that is due is parked until it gets its places, which it gives back if it is put off. One that a
    pause has parked waits again, until a node parks it anew. One that comes after others waits for them all the same.
    """
    if waits_for_join(job):
        return {"options.at": at.timestamp(), "parked_at": at}
    fields: dict[str, Any] = {"options.at": at.timestamp(), "parked_at": None, "blocked": None}
    if at > now:
        return {**fields, "status": int(target(Transition.POSTPONE)), "at": at, "gate": None}
    if is_controlled(job) and "gate" not in job:
        return {**fields, "parked_at": at, "at": FAR, "blocked": job.get("blocked", first_list(job))}
    return {**fields, "status": int(target(Transition.PROMOTE)), "at": at}


def unblocked(job: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Returns the fields that make a parked job be looked at again; None for one to remove.

    Nothing for one that waits for others of its flow.
    """
    if waits_for_join(job):
        return {}
    if is_controlled(job):
        return {"blocked": first_list(job)}
    due = sound(job, "parked_at", now)
    return {"status": int(target(Transition.UNPARK)), "at": due, "parked_at": None, "blocked": None}


def listed_anew(job: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what changes for a job in the list of its group that gets these fields: it may belong in another one."""
    changed = {**job, **fields}
    return {"blocked": first_list(changed)} if read_group_list(changed.get("blocked")) is not None else {}


@dataclass(frozen=True, slots=True)
class Requeue:
    """How an ended job is put back in the queue: what changes, when it is due, and why."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None  #: None: at once
    reason: str | None = None
    from_step: str | None = None  #: the step with which it begins; its fields say what it still knows


ONCE_MORE = Requeue()  #: as it was


def reason_option(value: Any) -> str | None:
    """Returns a reason that somebody gives for what he does, or None; else InvalidOptionError."""
    if value is not None and (not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_REASON):
        raise InvalidOptionError(
            f"option reason must be a text of at least one and at most {_LONGEST_REASON} characters, not {value!r:.60}"
        )
    return value
