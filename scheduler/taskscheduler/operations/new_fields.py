"""Makes of checked changes the fields that one job gets: its data as its class takes them, and the keys they decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.model.changes import JobChanges, keys_of, rekeyed
from taskscheduler.model.payload import payload
from taskscheduler.model.sound import sound


class NewFields:
    """The fields that the same changes give to jobs of any class."""

    def __init__(self, changes: JobChanges, max_payload: int) -> None:
        self._changes = changes
        self._max_payload = max_payload
        self._known: dict[tuple[str, ...], dict[str, Any]] = {}  #: by class and keys

    def of(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what a job gets, the same object for jobs that get the same.

        InvalidDataError if its class does not take the data, or they cannot be stored.
        """
        name = sound(job, "class", "") if self._changes.has_data else ""
        alike = (name, *(keys_of(job) if self._changes.has_data else ()))
        if alike not in self._known:
            self._known[alike] = self._made(name, job)
        return self._known[alike]

    def _made(self, name: str, job: Mapping[str, Any]) -> dict[str, Any]:
        fields = dict(self._changes.fields)
        if self._changes.has_data:
            spec = REGISTRY.find(name)
            accepted = self._changes.data if spec is None else spec.accept(self._changes.data)
            data = payload(f"the data of job {name}", "data", accepted, self._max_payload)
            fields |= {"data": data, **rekeyed(job, data)}
        return fields
