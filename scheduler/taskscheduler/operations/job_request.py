"""Checks what a caller wants to add, before anything connects to a database, and makes the document of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from taskscheduler.declarations.registry import REGISTRY, JobSpec
from taskscheduler.model.document import Document, new_document
from taskscheduler.model.options import JobOptions
from taskscheduler.model.solo import Solo, make_solo, solo_key
from taskscheduler.model.uniqueness import once_key


class JobRequest(NamedTuple):
    """A job that may be added: its class, data and options are valid as far as this process can tell."""

    name: str
    spec: JobSpec | None  #: None for a name that only workers know
    data: Any
    options: JobOptions
    solo: Solo = False  #: of the class
    hook: bool | None = None  #: whether the class has a notification

    @classmethod
    def of(
        cls, job: Any, data: Any, asked: Mapping[str, Any], defaults: JobOptions, serves: bool = False
    ) -> JobRequest:
        """Checks the arguments; `serves`: for a service. InvalidJobError, InvalidOptionError, InvalidArgumentsError."""
        name, spec = REGISTRY.resolve(job)
        if spec is None:
            return cls(name, spec, data, JobOptions.of(asked, defaults))
        spec.check_kind(serves)
        accepted, solo, hook = spec.accept(data), spec.solo, spec.has_hook
        return cls(name, spec, accepted, JobOptions.of(asked, defaults), solo, hook)

    def document(self, now: datetime, wake: bool) -> Document:
        """Returns the document to store; `wake`: its insert wakes the nodes by itself."""
        name, options = self.name, self.options
        document = new_document(name, self.data, options, now)
        if options.dedupe:
            document["dedupe"] = once_key(name, self.data, options.ignore_data)
        if key := solo_key(self.solo if options.solo is None else options.solo, name):
            make_solo(document, key, now)
        elif wake:
            document["wake"] = True
        if self.spec is not None:
            document["hook"] = self.hook
            if self.spec.is_async and not options.force_spawn:
                document["async"] = True
        return document
