"""The options of jobs and schedulers: names, defaults and checks. An option is checked once, where it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Literal

from bson import ObjectId

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.batches.options import check_not_of_class
from taskscheduler.model.checks import (
    CONSTANT,
    LONGEST,
    LONGEST_PAUSE,
    OLDEST_UNIX_TIME,
    Check,
    StartBy,
    aware,
    backoff,
    boolean,
    checked,
    collection_name,
    integer,
    is_number,
    jitter,
    object_id,
    plain,
    queue_name,
    seconds,
    start_by,
    tags,
)
from taskscheduler.model.control.keys import BLOCK, SKIP
from taskscheduler.model.control.limits import limits_option, template
from taskscheduler.model.control.windows import WINDOW_OPTIONS, check_together, unique_key
from taskscheduler.model.solo import Solo, solo_option
from taskscheduler.tracing import traced

At = float | int | datetime | timedelta

_YEAR_10000 = 253_402_300_800  #: the first unix time beyond Python's dates


def _at(name: str, value: Any) -> At:
    if isinstance(value, datetime):
        return aware(name, value)
    if isinstance(value, timedelta):
        return timedelta(seconds=seconds(name, value, least=-LONGEST))
    if not is_number(value):
        raise InvalidOptionError(
            f"option {name} must be an integer or float (unix time), an aware datetime or a timedelta from now"
        )
    if not 0 <= value < _YEAR_10000:
        raise InvalidOptionError(f"option {name} must be a unix time between 0 and the year 9999, not {value}")
    if 0 < value < OLDEST_UNIX_TIME:
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


def sequence_on_failure(name: str, value: Any) -> Literal["skip", "block"]:
    """Returns what the failure of a job means for the others of its sequence; InvalidOptionError."""
    if value == SKIP:
        return "skip"
    if value == BLOCK:
        return "block"
    raise InvalidOptionError(f'option {name} must be "skip" or "block", not {value!r:.60}')


JOB_CHECKS: Mapping[str, Check] = {
    "at": _at,
    "interval": lambda name, value: seconds(name, value, endless=True),
    "interval_reference": _interval_reference,
    "retry": lambda name, value: integer(name, value, least=-1),
    "retry_interval": seconds,
    "backoff": backoff,
    "retry_interval_max": seconds,
    "jitter": jitter,
    "retry_for": seconds,
    "start_by": start_by,
    "timeout": seconds,
    "silence_timeout": seconds,
    "force_spawn": boolean,
    "id": object_id,
    "ignore_data": boolean,
    "dedupe": boolean,
    "unique_for": seconds,
    "unique_key": unique_key,
    "debounce": seconds,
    "debounce_max": seconds,
    "queue": queue_name,
    "priority": lambda name, value: integer(name, value, least=-(2**31)),
    "parent": object_id,
    "tags": tags,
    "solo": lambda name, value: None if value is None else solo_option(name, value),
    "limits": limits_option,
    "sequence": lambda name, value: None if value is None else template(name, value),
    "sequence_on_failure": sequence_on_failure,
    "group": lambda name, value: None if value is None else template(name, value),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """The options of one job. `JobOptions.of` builds and validates them."""

    at: At = 0  #: run not before; 0: as soon as there is a free slot
    interval: float | int = 0  #: > 0: run again after so many seconds; -1: at once again; 0: no
    interval_reference: Literal["start", "end"] = "end"  #: what the interval counts from
    retry: int = 0  #: retries after FAILED or TIMEOUT; -1: no limit
    retry_interval: float | int = 300  #: seconds between tries
    backoff: str | tuple[float | int, ...] = CONSTANT  #: how the pauses grow, or each of them in seconds
    retry_interval_max: float | int = LONGEST_PAUSE  #: the longest pause in seconds
    jitter: float | int = 0  #: 0 to 1: so much of a pause is left to chance
    retry_for: float | int = 0  #: no try begins later than so many seconds after the first start; 0: no limit
    start_by: StartBy | None = None  #: cancelled unless it starts within so many seconds of adding, or by this date
    timeout: float | int = 0  #: run-time limit in seconds; 0: none
    silence_timeout: float | int = 0  #: seconds without a sign of life after which it is killed; 0: no limit
    force_spawn: bool = False  #: its own extra worker, beyond max_children
    id: ObjectId | None = None  #: an id that the caller chooses
    ignore_data: bool = False  #: for add_job_once: compare the class only
    dedupe: bool = False  #: not added while an equal job, same class and data, waits for its first start
    unique_for: float | int = 0  #: not added again within so many seconds, whatever became of the job; 0: added always
    unique_key: str | None = None  #: what equal jobs of the class share, instead of their data
    debounce: float | int = 0  #: starts after so many seconds in which no equal job was added; the newest data count
    debounce_max: float | int = 0  #: starts at the latest so many seconds after the first was added; 0: no limit
    queue: str = "default"  #: partition that nodes serve
    priority: int = 0  #: higher first within a queue
    parent: ObjectId | None = None  #: the job that this one is a child of
    tags: tuple[str, ...] = ()  #: texts by which it is found
    solo: Solo | None = None  #: never two at once: of this class (True) or this key; None: as the class says
    limits: tuple[str, ...] = ()  #: names of limits that it is under; {data.FIELD} is filled in when it is added
    sequence: str | None = None  #: one at a time of this name, in the order of adding; with braces as in limits
    sequence_on_failure: Literal["skip", "block"] = "skip"  #: whether the others wait once it has failed
    group: str | None = None  #: takes turns with the jobs of other groups; with braces as in limits

    @classmethod
    def of(cls, given: Mapping[str, Any], defaults: JobOptions | None = None) -> JobOptions:
        """Validates given options and completes them by `defaults`; InvalidOptionError if one is wrong."""
        defaults = defaults or cls()
        if not given:
            return defaults
        check_not_of_class(given)
        options = replace(defaults, **checked(given, JOB_CHECKS))
        _check_pauses(options.backoff, options.retry_interval_max)
        if options.unique_for or options.unique_key or options.debounce:
            check_together(options)
        if options.interval:
            check_repeatable(options.start_by)
        return options

    @property
    def is_compared(self) -> bool:
        """Whether an equal job is looked for before it is added."""
        return bool(self.dedupe or self.unique_for or self.debounce)

    def stored(self) -> dict[str, Any]:
        """Returns the options that are stored in the job, with times in seconds."""
        stored = {name: getattr(self, name) for name in STORED_OPTIONS}
        chosen = _rare(self)
        if chosen != _UNCHOSEN:
            rare = zip(_RARE, chosen, _UNCHOSEN, strict=True)
            stored |= {name: _plain(value) for name, value, default in rare if value != default}
        return stored


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


#: options that are stored only if they are chosen, so that a job without them costs no more
_RARE = (
    *("silence_timeout", "backoff", "retry_interval_max", "jitter", "retry_for", "start_by", "sequence_on_failure"),
    *WINDOW_OPTIONS,
)

_rare = attrgetter(*_RARE)

_UNCHOSEN = _rare(JobOptions())


def _check_pauses(pauses: str | tuple[float | int, ...], longest: float) -> None:
    """Raises InvalidOptionError if the list of the option `backoff` has a pause that is longer than the longest."""
    if isinstance(pauses, tuple) and max(pauses) > longest:
        raise InvalidOptionError(
            f"option backoff has a pause of {max(pauses)} seconds, more than option retry_interval_max ({longest})"
        )


def check_repeatable(limit: StartBy | None) -> None:
    """Raises InvalidOptionError if the option `start_by` of a job that runs again and again is a date."""
    if isinstance(limit, datetime):
        raise InvalidOptionError(
            "option start_by must be a number of seconds for a job that runs again and again: each run counts them "
            "from its own time"
        )


_LAST_DATE = datetime.max.replace(tzinfo=UTC)


def latest_start(limit: StartBy | None, since: datetime) -> datetime | None:
    """Returns the date by which a job has to start whose option `start_by` counts from `since`; None for no limit."""
    if limit is None or isinstance(limit, datetime):
        return limit
    return since + min(timedelta(seconds=limit), _LAST_DATE - since)


NODES = "taskscheduler.nodes"  #: the collection of nodes; its name is fixed

MESSAGES = "taskscheduler.messages"  #: the same for the messages of services

SCHEDULES = "taskscheduler.schedules"  #: the same for schedules

RATES = "taskscheduler.rates"  #: the same for what rates have counted

SEQUENCES = "taskscheduler.sequences"  #: the same for the counters of sequences

CONTROLS = "taskscheduler.controls"  #: the same for what people have set for the whole cluster

WINDOWS = "taskscheduler.windows"  #: the same for the windows of the option `unique_for`

METRICS = "taskscheduler.metrics"  #: the same for what nodes have counted

REQUESTS = "taskscheduler.requests"  #: the same for requests of the web service that have an Idempotency-Key

FLOWS = "taskscheduler.flows"  #: the same for flows

FLOW_RESULTS = "taskscheduler.flow_results"  #: the same for results that jobs of flows wait for

ANSWERS = "taskscheduler.answers"  #: the same for what nodes have answered to questions
AUDIT = "taskscheduler.audit"  #: the same for what people have done

LOGS = "taskscheduler.logs"  #: the same for the logs of attempts

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
    "failed_retention": seconds,
    "audit_retention": seconds,
    "tracing": traced,
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
    job_retention: float | int = 7 * 86_400  #: seconds for which jobs that are DONE or CANCELED are kept; 0: for ever
    failed_retention: float | int = 30 * 86_400  #: the same for dead letters: jobs that are FAILED or TIMEOUT
    audit_retention: float | int = 400 * 86_400  #: seconds for which is kept what people did; 0: for ever
    tracing: bool = False  #: whether adding jobs, and running them, makes spans for OpenTelemetry
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
        names |= {SCHEDULES: "the collection of schedules", CONTROLS: "the collection of settings"}
        names |= {RATES: "the collection of rates", SEQUENCES: "the collection of sequences"}
        names |= {WINDOWS: "the collection of windows", FLOWS: "the collection of flows"}
        names |= {FLOW_RESULTS: "the collection of results of flows", METRICS: "the collection of metrics"}
        names[ANSWERS] = "the collection of answers"
        names |= {AUDIT: "the audit log"}
        names |= {REQUESTS: "the collection of requests"}
        names |= {LOGS: "the collection of logs"}
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
