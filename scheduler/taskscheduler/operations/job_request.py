"""Checks what a caller wants to add, before anything connects to a database, and makes the document of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from taskscheduler.declarations.registry import REGISTRY, JobSpec
from taskscheduler.model.control.keys import hold_back, is_controlled
from taskscheduler.model.control.windows import check_alone
from taskscheduler.model.document import Document, new_document
from taskscheduler.model.options import JobOptions
from taskscheduler.model.solo import Solo
from taskscheduler.model.uniqueness import shared_key
from taskscheduler.operations.control.naming import put_under_controls


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
        cls,
        job: Any,
        data: Any,
        asked: Mapping[str, Any],
        defaults: JobOptions,
        serves: bool = False,
        pending: bool = False,
    ) -> JobRequest:
        """Checks the arguments; `serves`: for a service; `pending`: some of the data are not known yet.

        InvalidJobError, InvalidOptionError, InvalidArgumentsError."""
        name, spec = REGISTRY.resolve(job)
        if spec is None:
            return cls(name, spec, data, _options(asked, defaults))
        spec.check_kind(serves)
        accepted, solo, hook = spec.accept(data, pending), spec.solo, spec.has_hook
        if spec.options and not serves:  # a service is given those that apply to it
            defaults = spec.defaults(defaults)
        return cls(name, spec, accepted, _options(asked, defaults), solo, hook)

    def document(self, now: datetime, wake: bool) -> Document:
        """Returns the document to store; `wake`: its insert wakes the nodes by itself."""
        name, options = self.name, self.options
        document = new_document(name, self.data, options, now)
        if options.dedupe or options.debounce:
            document["dedupe"] = shared_key(name, self.data, options.ignore_data, options.unique_key)
        put_under_controls(document, options, self.solo)
        if is_controlled(document):
            hold_back(document, now)
        elif wake:
            document["wake"] = True
        if self.spec is not None:
            document["hook"] = self.hook
            if self.spec.is_async and not options.force_spawn:
                document["async"] = True
            if self.spec.batch is not None and not options.force_spawn:
                document["batch"] = self.spec.batch.stored()
        return document


def _options(asked: Mapping[str, Any], defaults: JobOptions) -> JobOptions:
    options = JobOptions.of(asked, defaults)
    if asked:
        check_alone(options, asked)
    return options
