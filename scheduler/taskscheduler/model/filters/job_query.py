"""Queries on stored jobs: their fields, and values as they are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import as_object_id, near_miss
from taskscheduler.model.lifecycle import Status

#: the fields of stored jobs, also those of single kinds of jobs
FIELDS = frozenset(
    """
    _id adder after alive async at attempt attempts awaits batch batched blocked boot child_alive claim claimed class
    committing created data dedupe ended error expires feeds fields fingerprint first_started flow forced gate
    gate_until group hook inputs joins label limits lost message next node on_failure once once_key open options
    parent parked_at pending priority program progress queue rearmed reason result retries schedule scheduled_at seq
    sequence series service signalled signals silent sleeps snoozes soft solo started status steps suspect tags turn v
    wake worker
    """.split()  # noqa: SIM905 - one name a line would fill a page
)

_ALIASES = {"id": "_id", "job": "class", "name": "class", "job_class": "class", "state": "status", "tag": "tags",
            "retry": "options.retry", "timeout": "options.timeout", "interval": "options.interval"}  # fmt: skip

_STATUSES = {status.label: status for status in Status}

#: other words for a status
STATUS_ALIASES = {"cancelled": "canceled", "running": "processing", "finished": "done", "success": "done",
                   "error": "failed", "queued": "waiting", "pending": "waiting", "scheduled": "postponed"}  # fmt: skip

_LISTS = ("$in", "$nin")

_SINGLE = ("$eq", "$ne")

_ORDER = ("$lt", "$lte", "$gt", "$gte")

_IDS = ("_id", "parent", "series", "flow")


def fields_as_stored(query: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a query with statuses and ids as they are stored.

    InvalidOptionError for a field that no job has, and for a status that does not exist.
    """
    return {name: _as_stored(name, value) for name, value in query.items()}


def _as_stored(name: Any, value: Any) -> Any:
    if not isinstance(name, str) or name.startswith("$"):
        nested = name in ("$and", "$or", "$nor") and isinstance(value, list | tuple)
        return [fields_as_stored(one) if isinstance(one, Mapping) else one for one in value] if nested else value
    _check_field(name)
    if name == "status":
        return _compared(value, _status)
    return _compared(value, lambda one, _: as_object_id(one)) if name in _IDS else value


def _check_field(name: str) -> None:
    field = name.partition(".")[0]
    if field not in FIELDS:
        raise InvalidOptionError(f"jobs have no field {name!r:.80}{near_miss(field, FIELDS, _ALIASES)}")


def _compared(value: Any, convert: Callable[[Any, str], Any]) -> Any:
    """Returns a value, or all values that the operators compare with, converted."""
    if not isinstance(value, Mapping):
        return convert(value, "$eq")
    found = {}
    for operator, operand in value.items():
        if operator in _LISTS and isinstance(operand, list | tuple):
            operand = [convert(one, "$eq") for one in operand]
        elif operator in (*_SINGLE, *_ORDER):
            operand = convert(operand, operator)
        elif operator == "$not" and isinstance(operand, Mapping):
            operand = _compared(operand, convert)
        found[operator] = operand
    return found


def _status(value: Any, operator: str) -> Any:
    """Returns the number of a status from its name, however it is written; a number must be one of a status."""
    if isinstance(value, str):
        name = value.strip().lower()
        if name in _STATUSES:
            return int(_STATUSES[name])
    elif not isinstance(value, int) or isinstance(value, bool) or operator in _ORDER:
        return value  # a regular expression, null or a list: MongoDB knows what it means
    elif value in set(Status):
        return int(value)
    hint = near_miss(value, _STATUSES, STATUS_ALIASES)
    raise InvalidOptionError(f"there is no status {value!r:.60}{hint or '; there are ' + ', '.join(_STATUSES)}")
