"""JobSpec and the registry: which names may run here, and what is known about each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from taskscheduler.declarations.batches import item_hint
from taskscheduler.declarations.class_options import batch_options, class_options, exception_rules
from taskscheduler.declarations.data_schema import DataSchema
from taskscheduler.declarations.signature import Signature
from taskscheduler.declarations.type_checks import DATA, hints_of
from taskscheduler.errors import InvalidArgumentsError, InvalidJobError
from taskscheduler.model.options import JobOptions
from taskscheduler.model.solo import Solo


class JobSpec:
    """Describes one job: its class, its options, how it runs, and the data it takes. Made where the job is defined.

    InvalidOptionError if an option that stands on the class is wrong.
    """

    __slots__ = (
        "_base",
        "_defaults",
        "_schema",
        "_signature",
        "batch",
        "cls",
        "function",
        "is_async",
        "is_service",
        "name",
        "options",
        "rules",
    )

    def __init__(
        self,
        cls: type[Any],
        base: type[Any],
        *,
        is_async: bool = False,
        is_service: bool = False,
        function: Callable[..., Any] | None = None,
    ) -> None:
        self.name: str = cls.name
        self.cls = cls  #: the class of which a worker makes an instance
        self.function = function  #: the function of a `@job`
        self.is_async = is_async  #: whether it runs in the event loop of a worker, beside others
        self.is_service = is_service
        self.options = class_options(cls, is_service)  #: those that stand on the class, checked
        self.rules = exception_rules(cls, is_service)  #: the exceptions after which it is tried again, or not
        self.batch = batch_options(cls, is_service, self.options)  #: None: `start` is called for each job by itself
        self._defaults: tuple[JobOptions, JobOptions] | None = None
        self._base = base  #: the class whose `notification` does nothing
        self._signature: Signature | None = None
        self._schema: DataSchema | None = None

    @property
    def solo(self) -> Solo:
        """The key under which jobs of this class never run at the same time; True: its name, False: none."""
        solo: Solo = self.cls.solo
        return solo

    def defaults(self, defaults: JobOptions) -> JobOptions:
        """Returns the options of a job that is added without any: those of the class on the given defaults."""
        known = self._defaults
        if known is None or known[0] is not defaults:
            known = self._defaults = (defaults, replace(defaults, **self.options))
        return known[1]

    @property
    def has_hook(self) -> bool:
        """Whether the class overrides `notification`, which is called when a job has reached its final status."""
        return self.cls.notification is not self._base.notification

    @property
    def signature(self) -> Signature | None:
        """The arguments that the function of a `@job` takes, read on first use; None for a class, and for batches."""
        if self._signature is None and self.function is not None and self.batch is None:
            self._signature = Signature(self.name, self.function)
        return self._signature

    @property
    def data_schema(self) -> DataSchema | None:
        """The data that a class declares, read from its annotations on first use; None for a function.

        Where jobs run in batches, one item of the list that the class or function takes.
        """
        if self._schema is None and (self.function is None or self.batch is not None):
            self._schema = DataSchema(self.name, self._declared())
        return self._schema

    def _declared(self) -> Any:
        hint = Any if self.function is not None else hints_of(self.cls).get(DATA, Any)
        return item_hint(self.function or self.cls.start) if hint is Any and self.batch is not None else hint

    def accept(self, data: Any, pending: bool = False) -> Any:
        """Returns the data as they are stored; InvalidArgumentsError if the job does not take them.

        `pending`: in their stored form some stand for values that are not known yet; the others are checked.
        """
        declared = self.signature or self.data_schema
        if declared is None:
            return data
        return declared.accept_pending(data) if pending else declared.accept(data)

    def load(self, data: Any, lenient: bool = False) -> Any:
        """Returns stored data as the class declares them. Functions check their arguments when they are called.

        InvalidArgumentsError if they do not fit; `lenient` returns those as they are stored.
        """
        schema = self._schema or self.data_schema
        if schema is None:
            return data
        try:
            return schema.load(data)
        except InvalidArgumentsError:
            if lenient:
                return data
            raise

    def check_kind(self, serves: bool) -> None:
        """Raises InvalidJobError if the job cannot run as a service (`serves`), or can run as nothing else."""
        if serves and self.solo:
            raise InvalidJobError(
                f"job {self.name} is solo and cannot be a service; the name of a service is unique anyway"
            )
        if serves and self.batch is not None:
            raise InvalidJobError(f"job {self.name} runs in batches and cannot be a service, which runs by itself")
        if not serves and self.is_service:
            raise InvalidJobError(f"{self.name} is a service: start it with start_service, which keeps it alive")

    @property
    def home(self) -> str:
        """The full name of the class, for messages."""
        return f"{self.cls.__module__}.{self.cls.__qualname__}"


class Registry:
    """The jobs that may run here, by name. Filled by imports, never from the database."""

    def __init__(self) -> None:
        self._specs: dict[str, JobSpec] = {}

    def add(self, spec: JobSpec) -> None:
        """Registers a job; a module that is imported again replaces its own. InvalidJobError for a name in use."""
        known = self._specs.get(spec.name)
        if known is not None and known.home != spec.home:
            raise InvalidJobError(f"the job name {spec.name!r} is taken by {known.home}; give {spec.home} another one")
        self._specs[spec.name] = spec

    def find(self, name: str) -> JobSpec | None:
        """Returns the job registered under `name`, if there is one. Never imports anything."""
        return self._specs.get(name)

    def names(self) -> list[str]:
        """Returns all registered names in order."""
        return sorted(self._specs)

    def is_async(self, name: str) -> bool:
        """Returns whether jobs of this name run in the event loop of a worker, as far as they are known here."""
        spec = self._specs.get(name)
        return spec is not None and spec.is_async

    def has_hook(self, name: str) -> bool:
        """Returns whether jobs of this name have a notification, as far as they are known here."""
        spec = self._specs.get(name)
        return spec is not None and spec.has_hook

    def resolve(self, job: Any) -> tuple[str, JobSpec | None]:
        """Returns the name and the spec of a job given as a class, a `@job` function or a name.

        The spec is None for a name that this process does not know. InvalidJobError for anything else.
        """
        if isinstance(job, str):
            if not job:
                raise InvalidJobError("the name of a job must not be empty")
            return job, self._specs.get(job)
        if is_job(job):
            spec: JobSpec = job.__job__
            return spec.name, spec
        what = f"class {job.__qualname__}" if isinstance(job, type) else f"{type(job).__name__} {job!r:.80}"
        raise InvalidJobError(f"{what} is not a job: give a subclass of Job, a function decorated with @job or a name")


REGISTRY = Registry()


def is_job(value: Any) -> bool:
    """Returns whether this is a job class or a `@job` function; an instance of a job is none."""
    spec = getattr(value, "__job__", None)
    return isinstance(spec, JobSpec) and not isinstance(value, spec.cls)


def job_name(job: Any) -> str:
    """Returns the registered name of a Job subclass, a `@job` function or a name; InvalidJobError for others."""
    return REGISTRY.resolve(job)[0]
