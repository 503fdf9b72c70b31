"""Entries of the audit log: who did what, when, on what, why, and with what outcome."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

from bson import ObjectId

from taskscheduler.model.audit.actors import Acting
from taskscheduler.model.document import Document
from taskscheduler.model.process_state import ProcessState
from taskscheduler.model.sound import is_count, is_text

BEGUN, DONE, FAILED, REFUSED = "begun", "done", "failed", "refused"

OUTCOMES = (BEGUN, DONE, FAILED, REFUSED)

INTERRUPTED = "interrupted"  #: the error of an action that Ctrl-C or the end of a task has cut short

_LONGEST_FACT = 500
_LONGEST_ERROR = 500


class AuditEntry:
    """One action of somebody, as it is written down. Whatever another program may have stored there, it can be read."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    @property
    def id(self) -> Any:
        return self._document["_id"]

    @property
    def at(self) -> datetime | None:
        """When it began, by the clock of the server."""
        at = self._document.get("at")
        return at if isinstance(at, datetime) else None

    @property
    def who(self) -> str:
        """The user of the web pages, user@host of the command line, or the name that a program gave."""
        return self._text("who")

    @property
    def role(self) -> str:
        return self._text("role")

    @property
    def via(self) -> str:
        """Where it came from: `web`, `cli` or `program`."""
        return self._text("via")

    @property
    def address(self) -> str | None:
        """The address of a client of the web pages."""
        return self._text("from") or None

    @property
    def what(self) -> str:
        """The action, such as `job.cancel`."""
        return self._text("what")

    @property
    def target(self) -> str | None:
        """The id or name of what it acted on; None if it acted on many, or on something without a name."""
        return self._text("target") or None

    @property
    def facts(self) -> dict[str, Any]:
        """What else was given, such as the expression of a selection or the numbers of a limit."""
        facts = self._document.get("facts")
        return dict(facts) if isinstance(facts, Mapping) else {}

    @property
    def reason(self) -> str | None:
        return self._text("reason") or None

    @property
    def outcome(self) -> str:
        """`done`, `failed` or `refused`; `begun` if its end is not known, since the process died or the action is part
        of a transaction of an application."""
        return self._text("outcome") or BEGUN

    @property
    def count(self) -> int | None:
        """How many jobs, or whatever else, it has changed; None if that is not known."""
        count = self._document.get("count")
        return count if isinstance(count, int) and is_count(count) else None

    @property
    def error(self) -> str | None:
        """Why it failed or was refused."""
        return self._text("error") or None

    @property
    def more(self) -> int:
        """How many other attempts like this were refused before it, and not written down."""
        more = self._document.get("more")
        return more if isinstance(more, int) and is_count(more) else 0

    def to_dict(self) -> dict[str, Any]:
        """Returns the entry as it is stored."""
        return dict(self._document)

    def _text(self, name: str) -> str:
        value = self._document.get(name)
        return str(value) if is_text(value) else "" if value is None else str(value)[:_LONGEST_FACT]


def entry_id(now: datetime) -> ObjectId:
    """Returns an id of this second by the clock of the server, so that entries of all hosts are in order."""
    return ObjectId(ObjectId.from_datetime(now).binary[:4] + ObjectId().binary[4:])


def new_entry(acting: Acting, what: str, now: datetime, kept: float) -> Document:
    """Returns the entry of an action that begins. `kept`: seconds; 0: for ever."""
    actor = acting.actor
    given = {"via": actor.via, "from": actor.address, "reason": fact(acting.reason)}
    expires = {"expires": now + timedelta(seconds=kept)} if kept else {}
    named = {"_id": entry_id(now), "at": now, "who": actor.name, "role": actor.role.label, "what": what}
    return {**named, **{name: value for name, value in given.items() if value is not None}, **expires}


def fact(value: Any) -> Any:
    """Returns a value in a form that is short: never data of a job, which may be secret."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "a number beyond 64 bits"  # the option refuses it, and the database does as well
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, date):
        return _moment(value)
    text = value if isinstance(value, str) else getattr(value, "__qualname__", None) or str(value)
    return text[:_LONGEST_FACT].encode("utf-8", "replace").decode()


def _moment(value: date) -> str:
    """Returns a date in UTC if it has a time zone, unless that is beyond the calendar: then the action refuses it."""
    if isinstance(value, datetime) and value.utcoffset() is not None:
        with suppress(OverflowError):
            return value.astimezone(UTC).isoformat()
    return value.isoformat()


def outcome_of(result: Any) -> Document:
    """Returns what is written down of the result of an action: how many it has changed, and the id of a new job."""
    if isinstance(result, ProcessState):
        return {"count": 1, "target": result.id_text}
    if isinstance(result, bool) or not isinstance(result, int | list):
        return {"count": int(result) if isinstance(result, bool) else 1}
    return {"count": len(result) if isinstance(result, list) else result}


def error_text(error: BaseException) -> str:
    """Returns an error as one text of an entry."""
    if not isinstance(error, Exception):
        return INTERRUPTED
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return text[:_LONGEST_ERROR].encode("utf-8", "replace").decode()
