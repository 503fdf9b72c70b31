"""What a job asks for by what it raises: another try, no more tries, or to begin again later."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from taskscheduler.errors import InvalidOptionError, JobFailure
from taskscheduler.model.checks import Seconds, aware, seconds
from taskscheduler.model.exception_texts import is_a, is_one_of, type_of

Exceptions = type[BaseException] | tuple[type[BaseException], ...] | list[type[BaseException]]

LONGEST_REASON = 500


class Retry(JobFailure):
    """Ends the attempt as a failure that is tried again, whatever `retry_on` and `discard_on` say.

    It counts as a try: without a retry left the job is FAILED. The next try begins `after` so many seconds, at most
    `retry_interval_max`, or when the options say; `reason` is its error. Raises InvalidOptionError for other values.
    """

    def __init__(self, reason: str = "", *, after: Seconds | None = None) -> None:
        super().__init__(_reason(reason))
        self.after = None if after is None else seconds("after", after)

    def __str__(self) -> str:
        said, cause = super().__str__(), self.__cause__
        return said or ("the job asks for another try" if cause is None else f"{type_of(cause)}: {cause}")


class Discard(JobFailure):
    """Ends the job as FAILED with this message and without a traceback; it is not tried again."""


class JobSnoozed(BaseException):
    """Raised by `Job.snooze`; not an Exception, so that jobs do not catch it by accident."""

    def __init__(self, after: Seconds | None, until: datetime | None, reason: str) -> None:
        super().__init__("the job is put off")
        self.facts = {**_when(after, until), **({"reason": said} if (said := _reason(reason)) else {})}


class JobAsleep(JobSnoozed):
    """Raised by `Job.sleep` and `Job.wait_for`: the job gives its slot back until a date, or until a signal comes."""

    def __init__(self, awaits: Mapping[str, Any], reason: str) -> None:
        BaseException.__init__(self, reason)
        until = awaits.get("until")
        self.facts = {"awaits": dict(awaits), "reason": reason, **({} if until is None else {"until": until})}


class AttemptLost(BaseException):
    """Raised in an attempt that has lost its job: somebody else runs it, or it was cancelled or deleted.

    What the attempt would write is refused, so it ends at once. Not an Exception, so that jobs do not catch it.
    """

    def __init__(self, job_id: Any, attempt: int) -> None:
        super().__init__(f"attempt {attempt} has lost job {job_id}: it was cancelled, deleted or taken over")


def _when(after: Seconds | None, until: datetime | None) -> dict[str, Any]:
    if (after is None) is (until is None):
        raise InvalidOptionError("snooze takes either seconds or until")
    if until is None:
        return {"after": seconds("seconds", after)}
    if not isinstance(until, datetime):
        raise InvalidOptionError(f"option until must be an aware datetime, not {until!r:.60}")
    return {"until": aware("until", until)}


def _reason(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidOptionError(f"option reason must be a text, not {value!r:.60}")
    return value[:LONGEST_REASON].encode(errors="replace").decode()


class ExceptionRules(NamedTuple):
    """The exceptions after which a job may, or must not, be tried again. Those that `discard_on` names come first."""

    retry_on: tuple[type[BaseException], ...] = ()  #: empty: all that are not discarded
    discard_on: tuple[type[BaseException], ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> ExceptionRules:
        """Checks the exceptions that a class names; InvalidOptionError if one is none, or can have no effect."""
        rules = cls(*(exceptions(name, given.get(name, ())) for name in cls._fields))
        for kind in rules.retry_on:
            if issubclass(kind, rules.discard_on):
                raise InvalidOptionError(f"option retry_on names {kind.__name__}, which option discard_on excludes")
        return rules

    def why_final(self, error: BaseException) -> str:
        """Returns why a job that raised this must not be tried again; empty if it may."""
        if is_a(error, Retry):
            return ""
        if is_a(error, Discard):
            return "the job was discarded"
        if is_one_of(error, self.discard_on):
            return "discard_on names its error"
        return "retry_on does not name its error" if self.retry_on and not is_one_of(error, self.retry_on) else ""

    def names(self) -> dict[str, list[str]]:
        """Returns the names of the exceptions, for people, by the names of the options."""
        return {name: [kind.__name__ for kind in kinds] for name, kinds in self._asdict().items() if kinds}


NO_RULES = ExceptionRules()


def exceptions(name: str, value: Any) -> tuple[type[BaseException], ...]:
    """Returns exception classes as a tuple; InvalidOptionError for anything else."""
    kinds = tuple(value) if isinstance(value, list | tuple) else (value,)
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            raise InvalidOptionError(
                f"option {name} must be exception classes such as (OSError, ValueError); {kind!r:.60} is none"
            )
    return kinds
