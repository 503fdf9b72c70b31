"""A database as version 0.1.0 has left it, with a node killed at work: a dump of one, and what it has in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bson import json_util
from pymongo.database import Database

DUMP = Path(__file__).parent / "older" / "0.1.0.json"


def load(database: Database[dict[str, Any]]) -> dict[str, Any]:
    """Fills a database that does not exist yet; returns the ids of its jobs by what they were left as."""
    dump = json_util.loads(DUMP.read_text(), json_options=json_util.JSONOptions(tz_aware=True, tzinfo=UTC))
    by = datetime.now(UTC) - dump["at"]
    for name in ("taskscheduler.jobs", "taskscheduler.nodes"):
        database[name].insert_many(_later(dump["collections"][name], by))
    for name, indexes in dump["indexes"].items():
        for index in indexes:
            options = {option: value for option, value in index.items() if option not in ("v", "key", "ns")}
            database[name].create_index(list(index["key"].items()), **options)
    found: dict[str, Any] = dump["ids"]
    return found


def _later(value: Any, by: timedelta) -> Any:
    """Returns the same document, written so much later."""
    if isinstance(value, datetime):
        return value + by
    if isinstance(value, dict):
        return {name: _later(one, by) for name, one in value.items()}
    return [_later(one, by) for one in value] if isinstance(value, list) else value
