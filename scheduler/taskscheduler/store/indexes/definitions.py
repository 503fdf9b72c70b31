"""Defines the indexes of jobs that are made on demand, and tells which of them a job or a query needs.

Every write of a job makes the server judge the condition of each index, which takes a microsecond. So an index that
only some jobs are in is made before the first of them is stored: where there is no such index, there is no such job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status

CLAIM_ORDER = [("priority", DESCENDING), ("at", ASCENDING), ("_id", ASCENDING)]

TURN_ORDER = [("sequence", ASCENDING), ("turn", ASCENDING)]

_AWAITED_ORDER = [("status", ASCENDING), ("awaits.name", ASCENDING), ("awaits.until", ASCENDING)]

_WAITING: Document = {"status": int(Status.WAITING)}

RUNNING: Document = {"status": int(Status.PROCESSING)}

#: jobs that have not started; a claim removes a job from an index with this condition
_NOT_STARTED: Document = {"status": {"$lt": int(Status.PROCESSING)}}


def index(name: str, keys: Sequence[tuple[str, int]], condition: Mapping[str, Any], **options: Any) -> IndexModel:
    """Returns an index of the jobs that meet a condition."""
    return IndexModel(keys, name=name, partialFilterExpression=condition, **options)


def present(field: str) -> Document:
    """Returns the condition that a job has a field."""
    return {field: {"$exists": True}}


def name_of(model: IndexModel) -> str:
    """Returns the name of an index."""
    return str(model.document["name"])


def _of_nodes() -> list[IndexModel]:
    """Returns the indexes by which nodes find jobs to claim and to end."""
    of_batches = [("class", ASCENDING), ("queue", ASCENDING), *CLAIM_ORDER]
    return [
        index("force", [("options.force_spawn", ASCENDING)], {**_WAITING, "options.force_spawn": True}),
        index("async", [("priority", DESCENDING), ("at", ASCENDING)], {**_WAITING, "async": True}),
        index("batch", of_batches, {**_WAITING, **present("batch")}),
        index("expires", [("expires", ASCENDING)], {**present("expires"), **_NOT_STARTED}),
        index("tracked", [("program.host", ASCENDING)], {**present("program"), **RUNNING}),
    ]


def _of_keys() -> list[IndexModel]:
    """Returns the indexes of keys that one job may hold; every write that queues a job again removes `dedupe`."""
    return [
        index("once", [("once", ASCENDING)], present("once"), unique=True),
        index("dedupe", [("dedupe", ASCENDING)], {**present("dedupe"), **_NOT_STARTED}, unique=True),
        index("service", [("service.name", ASCENDING)], present("service.name"), unique=True),
    ]


def _of_relatives() -> list[IndexModel]:
    """Returns the indexes of jobs that have something in common.

    A job is in `open` until it is DONE, so that a look tells whether all of a join are. By `awaits` jobs are counted
    that wait for a signal.
    """
    return [
        index("tags", [("tags", ASCENDING), ("_id", DESCENDING)], present("tags")),
        index("parent", [("parent", ASCENDING)], present("parent")),
        index("series", [("series", ASCENDING)], present("series")),
        index("schedule", [("schedule", ASCENDING), ("_id", DESCENDING)], present("schedule")),
        index("sequence", TURN_ORDER, present("turn")),
        index("flow", [("flow", ASCENDING), ("_id", ASCENDING)], present("flow")),
        index("open", [("open", ASCENDING)], present("open")),
        index("awaits", _AWAITED_ORDER, present("awaits.name")),
    ]


#: all of them, by name. Those of sequences, flows, batches and signals are made by the stores of these.
ON_DEMAND: Mapping[str, IndexModel] = {name_of(model): model for model in (*_of_nodes(), *_of_keys(), *_of_relatives())}

#: the index that a job needs which has a field
_BY_FIELD = {
    **{name: name for name in ("async", "expires", "once", "dedupe", "service")},
    **{name: name for name in ("tags", "parent", "series", "schedule")},
    "program": "tracked",
}

_FIELDS = frozenset(_BY_FIELD)

#: the index that a job needs which has an option; for two of them a later write gives the job the field `expires`
_BY_OPTION = {"force_spawn": "force", "start_by": "expires", "retry_for": "expires"}

_NONE: frozenset[str] = frozenset()

_NO_OPTIONS: Document = {}

#: the index that has all jobs with a field; without it there are none
_ALL_WITH = {**_BY_FIELD, "service.name": "service", "program.host": "tracked", "flow": "flow"}


def needed_by(document: Mapping[str, Any]) -> frozenset[str]:
    """Returns the names of the indexes that have to be there before this job is stored; of most jobs there are none."""
    options = document.get("options", _NO_OPTIONS)
    is_plain = _FIELDS.isdisjoint(document) and not options.get("force_spawn")
    if is_plain and "start_by" not in options and "retry_for" not in options:
        return _NONE  # in 0.4 us: every job that is added comes here
    by_field = [_BY_FIELD[name] for name in _BY_FIELD if name in document]
    return frozenset([*by_field, *(_BY_OPTION[name] for name in _BY_OPTION if options.get(name))])


def needed_after(changes: Mapping[str, Any]) -> frozenset[str]:
    """Returns the same for fields that a stored job gets, as an update names them; None stands for one to remove."""
    given = {name: value for name, value in changes.items() if value is not None}
    one_by_one = {name: given[f"options.{name}"] for name in _BY_OPTION if f"options.{name}" in given}
    return needed_by({**given, "options": {**given.get("options", _NO_OPTIONS), **one_by_one}})


def asked_for(query: Mapping[str, Any]) -> frozenset[str]:
    """Returns the names of indexes that have every job which this query can find, as far as that is easily told."""
    found = {_ALL_WITH[name] for name, asked in query.items() if name in _ALL_WITH and _is_of_some(asked)}
    parts = query.get("$and")
    for part in parts if isinstance(parts, list | tuple) else ():
        found |= asked_for(part) if isinstance(part, Mapping) else _NONE
    return frozenset(found)


def _is_of_some(asked: Any) -> bool:
    """Whether a condition is only met by jobs that have the field."""
    if not isinstance(asked, Mapping):
        return asked is not None
    several = asked.get("$in")
    is_value = asked.get("$eq") is not None or asked.get("$exists") is True
    return is_value or (isinstance(several, list | tuple) and None not in several)
