"""Checks the arguments of callers besides options: ids, queries, lists of processes; else InvalidOptionError."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from bson import ObjectId

from taskscheduler.declarations.registry import is_job, job_name
from taskscheduler.errors import InvalidDataError, InvalidOptionError
from taskscheduler.model.checks import object_id
from taskscheduler.model.filters.job_query import fields_as_stored
from taskscheduler.model.job_ids import id_of
from taskscheduler.model.payload import stored_form
from taskscheduler.model.process_state import ProcessState

P = TypeVar("P", bound=ProcessState)


def job_id(value: Any) -> Any:
    """Returns the id that an ObjectId, its 24 hexadecimal digits or the text of another id stand for: see `id_text`."""
    if isinstance(value, ObjectId):
        return value
    if not isinstance(value, str):
        raise InvalidOptionError(f"a job id must be an ObjectId or a text, not {value!r:.60}")
    return id_of(value)


def flow_key(value: Any) -> ObjectId:
    """Returns the id of a flow that an ObjectId or its 24 hexadecimal digits stand for."""
    found = object_id("flow_id", value)
    if found is None:
        raise InvalidOptionError("the id of a flow must be an ObjectId or its 24 hexadecimal digits, not None")
    return found


def listed(processes: Iterable[P], kind: type[P]) -> list[P]:
    """Returns the processes of `wait_for` as a list."""
    requires = f"wait_for() requires a list of {kind.__name__}"
    if not isinstance(processes, Iterable):
        raise InvalidOptionError(f"{requires}, not {processes!r:.80}")
    waited = list(processes)
    for process in waited:
        if not isinstance(process, kind):
            raise InvalidOptionError(f"{requires}, not of {type(process).__name__}")
    return waited


def batch(jobs: Iterable[Any]) -> Iterable[Any]:
    """Returns the jobs of one batch; refuses a text or a mapping, which would be taken apart in silence."""
    if isinstance(jobs, str | bytes | Mapping) or not isinstance(jobs, Iterable):
        raise InvalidOptionError(f"a batch must be a list of jobs, not {jobs!r:.60}")
    return jobs


def check_callable(what: str, given: Callable[..., Any]) -> None:
    """Raises InvalidOptionError unless it can be called."""
    if not callable(given):
        raise InvalidOptionError(f"{what} must be callable, not {type(given).__name__}")


def check_token(token: Mapping[str, Any] | None) -> None:
    """Raises InvalidOptionError unless a listener can go on there."""
    if token is not None and not (isinstance(token, Mapping) and "_data" in token):
        raise InvalidOptionError(f"after must be the token that an earlier listen() gave, not {token!r:.60}")


def named(query: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a query in which job classes, names of statuses and texts of ids are replaced by what is stored.

    InvalidOptionError for a field that no job has, and for a status that does not exist: both would find nothing.
    """
    if not isinstance(query, Mapping):
        raise InvalidOptionError(f'a query must be a mapping, such as {{"class": MailJob}}, not {query!r:.60}')

    def name(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: name(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [name(item) for item in value]
        return job_name(value) if isinstance(value, type) or is_job(value) else value

    asked = fields_as_stored({key: name(value) for key, value in query.items()})
    try:
        return dict(stored_form("the query", "query", asked))
    except InvalidDataError as error:
        fault = str(error).partition(": ")[2]
        raise InvalidOptionError(f"a query must hold what BSON can hold: {fault}") from None
