"""The options of jobs and schedulers: names, defaults and checks. An option is checked once, where it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from bson import ObjectId

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import (
    LONGEST,
    Check,
    boolean,
    checked,
    collection_name,
    integer,
    is_number,
    object_id,
    plain,
    queue_name,
    seconds,
    tags,
)
from taskscheduler.model.solo import Solo, solo_option

At = float | int | datetime | timedelta

#: a smaller number would be a time before 2001; people who write it mean seconds from now
_OLDEST_UNIX_TIME = 1_000_000_000

_YEAR_10000 = 253_402_300_800  #: the first unix time beyond Python's dates


def _at(name: str, value: Any) -> At:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidOptionError(f"option {name} must be an aware datetime: give it a time zone")
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise InvalidOptionError(f"option {name} must be a date between the years 1 and 9999 in UTC") from None
    if isinstance(value, timedelta):
        return timedelta(seconds=seconds(name, value, least=-LONGEST))
    if not is_number(value):
        raise InvalidOptionError(
            f"option {name} must be an integer or float (unix time), an aware datetime or a timedelta from now"
        )
    if not 0 <= value < _YEAR_10000:
        raise InvalidOptionError(f"option {name} must be a unix time between 0 and the year 9999, not {value}")
    if 0 < value < _OLDEST_UNIX_TIME:
        raise InvalidOptionError(
            f"option {name} must be a plausible unix time (or 0: at once), not {value}; "
            f"for {value} seconds from now give timedelta(seconds={value})"
        )
    return plain(value)


def _interval_reference(name: str, value: Any) -> Literal["start", "end"]:
    if value == "start":
        return "start"
    if value == "end":
        return "end"
    raise InvalidOptionError(f'option {name} must be "start" or "end"')


JOB_CHECKS: Mapping[str, Check] = {
    "at": _at,
    "interval": lambda name, value: seconds(name, value, endless=True),
    "interval_reference": _interval_reference,
    "retry": lambda name, value: integer(name, value, least=-1),
    "retry_interval": seconds,
    "timeout": seconds,
    "silence_timeout": seconds,
    "force_spawn": boolean,
    "id": object_id,
    "ignore_data": boolean,
    "dedupe": boolean,
    "queue": queue_name,
    "priority": lambda name, value: integer(name, value, least=-(2**31)),
    "parent": object_id,
    "tags": tags,
    "solo": lambda name, value: None if value is None else solo_option(name, value),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """The options of one job. `JobOptions.of` builds and validates them."""

    at: At = 0  #: run not before; 0: as soon as there is a free slot
    interval: float | int = 0  #: > 0: run again after so many seconds; -1: at once again; 0: no
    interval_reference: Literal["start", "end"] = "end"  #: what the interval counts from
    retry: int = 0  #: retries after FAILED or TIMEOUT; -1: no limit
    retry_interval: float | int = 300  #: seconds between tries
    timeout: float | int = 0  #: run-time limit in seconds; 0: none
    silence_timeout: float | int = 0  #: seconds without a sign of life after which it is killed; 0: no limit
    force_spawn: bool = False  #: its own extra worker, beyond max_children
    id: ObjectId | None = None  #: an id that the caller chooses
    ignore_data: bool = False  #: for add_job_once: compare the class only
    dedupe: bool = False  #: not added while an equal job, same class and data, waits for its first start
    queue: str = "default"  #: partition that nodes serve
    priority: int = 0  #: higher first within a queue
    parent: ObjectId | None = None  #: the job that this one is a child of
    tags: tuple[str, ...] = ()  #: texts by which it is found
    solo: Solo | None = None  #: never two at once: of this class (True) or this key; None: as the class says

    @classmethod
    def of(cls, given: Mapping[str, Any], defaults: JobOptions | None = None) -> JobOptions:
        """Validates given options and completes them by `defaults`; InvalidOptionError if one is wrong."""
        defaults = defaults or cls()
        return replace(defaults, **checked(given, JOB_CHECKS)) if given else defaults

    def stored(self) -> dict[str, Any]:
        """Returns the options that are stored in the job, with times in seconds."""
        stored = {name: getattr(self, name) for name in STORED_OPTIONS}
        return {**stored, "silence_timeout": self.silence_timeout} if self.silence_timeout else stored


NODES = "taskscheduler.nodes"  #: the collection of nodes; its name is fixed

MESSAGES = "taskscheduler.messages"  #: the same for the messages of services

STORED_OPTIONS = ("interval", "interval_reference", "retry", "retry_interval", "timeout", "force_spawn", "ignore_data")

SCHEDULER_CHECKS: Mapping[str, Check] = {
    "job_store": collection_name,
    "job_queue": collection_name,
    "job_queue_size": lambda name, value: integer(name, value, least=4096, most=2**50),
    "event_queue": collection_name,
    "event_queue_size": lambda name, value: integer(name, value, least=4096, most=2**50),
    **{f"default_{name}": JOB_CHECKS[name] for name in ("interval", "interval_reference", "retry", "retry_interval")},
    "default_at": lambda name, value: _at(name, 0 if value is None else value),
    "default_timeout": seconds,
    "progress_rate_limit": lambda name, value: integer(name, value, least=0),
    "orphaned_timeout": lambda name, value: seconds(name, value, least=0.5),
    "max_payload": lambda name, value: integer(name, value, least=1024, most=15 * 1024 * 1024),
    "job_retention": seconds,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerOptions:
    """How a scheduler stores jobs, and the defaults for those it adds. Build it with `SchedulerOptions.of`."""

    job_store: str = "taskscheduler.jobs"  #: durable job documents, the truth
    job_queue: str = "taskscheduler.queue"  #: capped collection of messages that wake nodes
    job_queue_size: int = 1_000_000  #: its size in bytes
    event_queue: str = "taskscheduler.events"  #: capped log of status changes
    event_queue_size: int = 5_000_000  #: its size in bytes
    default_at: At = 0
    default_interval: float | int = 0
    default_interval_reference: Literal["start", "end"] = "end"
    default_retry: int = 0
    default_retry_interval: float | int = 300
    default_timeout: float | int = 0
    progress_rate_limit: int = 500  #: milliseconds between two writes of one job's progress; 0: no limit
    orphaned_timeout: float | int = 30  #: seconds for which a silent worker or node keeps its jobs
    max_payload: int = 1024 * 1024  #: bytes of data or result
    job_retention: float | int = 7 * 86_400  #: seconds for which ended jobs are kept; 0: for ever
    given: frozenset[str] = field(default_factory=frozenset)  #: the names of the options that a caller gave

    @classmethod
    def of(cls, given: Mapping[str, Any], base: SchedulerOptions | None = None) -> SchedulerOptions:
        """Validates the options that a caller gave and puts them on `base`; InvalidOptionError if one is wrong."""
        base = base or cls()
        options = replace(base, **checked(given, SCHEDULER_CHECKS), given=base.given | frozenset(given))
        options._check_names()
        return options

    def _check_names(self) -> None:
        names = {NODES: "the collection of nodes", MESSAGES: "the collection of messages"}
        for option in ("job_store", "job_queue", "event_queue"):
            name = getattr(self, option)
            if name in names:
                raise InvalidOptionError(f"option {option} must not be {name!r}: that is {names[name]}")
            names[name] = f"option {option}"

    def job_defaults(self) -> JobOptions:
        """Returns the default options of a job."""
        prefix = "default_"
        chosen = {f.name.removeprefix(prefix): getattr(self, f.name) for f in fields(self) if f.name.startswith(prefix)}
        return JobOptions(**chosen)
