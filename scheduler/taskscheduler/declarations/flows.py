"""Flow: jobs that come after each other, as a program describes them before it adds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId

from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.errors import InvalidFlowError, InvalidOptionError
from taskscheduler.model.checks import near_miss
from taskscheduler.model.flows.inputs import Pending
from taskscheduler.model.flows.membership import CANCEL, POLICIES
from taskscheduler.model.options import JobOptions
from taskscheduler.model.sound import is_text

_LONGEST_NAME = 200

#: options under which a job may be another one than the one that is added, or be followed by others
_REFUSED = ("dedupe", "unique_for", "unique_key", "debounce", "debounce_max", "interval", "ignore_data")


class FlowJob:
    """A job of a flow that is not added yet. `result` stands in the data of other jobs for what it will return."""

    __slots__ = ("_after", "data", "flow", "id", "job", "label", "on_failure", "options")

    def __init__(self, flow: Flow, label: str, job: Any, data: Any, options: Mapping[str, Any]) -> None:
        self.flow = flow
        self.label = label  #: its name in the flow
        self.job = job
        self.data = data
        self.options = options
        self.id: ObjectId = options.get("id") or ObjectId()  #: that the job gets
        self.on_failure = CANCEL
        self._after: dict[Any, None] = {}

    @property
    def result(self) -> Any:
        """Stands in the data of another job for the result of this one, anywhere in mappings and lists."""
        return JobResult(self)

    def after(self, *jobs: Any) -> FlowJob:
        """Has this job come after others of its flow, beside those before; returns it. InvalidFlowError."""
        flow, found = self.flow, self._after
        for job in jobs:  # a flow of full layers has a million of them
            ours = type(job) is FlowJob and job.flow is flow
            found[job if ours else flow.find(job, f"job {self.label!r} comes after")] = None
        return self

    @property
    def predecessors(self) -> list[Any]:
        """What it comes after: jobs of this flow, or ids of jobs that run already."""
        return list(self._after)

    def __repr__(self) -> str:
        return f"<FlowJob {self.label} of {self.flow.name}>"


class JobResult(Pending):
    """Stands in the data of a job for the result of another one of its flow."""

    __slots__ = ("job",)

    def __init__(self, job: FlowJob) -> None:
        self.job = job

    def __repr__(self) -> str:
        return f"<result of {self.job.label}>"


class _Previous(Pending):
    """Stands in a call of a chain for the result of the call before it; after a list, for the list of their results."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "previous"


#: stands in a call of a chain for the result of the call before it, and after a list for the list of their results
previous: Any = _Previous()


class Flow:
    """Jobs that come after each other, to be added all at once with `scheduler.flows.add`.

        flow = Flow("order 42")
        fetch = flow.add(Fetch, {"order": 42})
        parts = [flow.add(Pack, {"part": n, "sheet": fetch.result}, after=[fetch]) for n in range(3)]
        flow.add(Ship, after=parts, on_failure="skip", retry=5)

    The name is a text of 1 to 200 characters for people; several flows may have the same. InvalidFlowError.
    """

    def __init__(self, name: str) -> None:
        self.name = _checked_name("the name of a flow", name)
        self.id = ObjectId()  #: that the flow gets
        self._jobs: dict[str, FlowJob] = {}
        self._numbers: dict[str, int] = {}

    @property
    def jobs(self) -> list[FlowJob]:
        """Its jobs in the order in which they were described."""
        return list(self._jobs.values())

    def add(
        self,
        job: Any,
        data: Any = None,
        /,
        *,
        after: Any = (),
        on_failure: str = CANCEL,
        label: str | None = None,
        **options: Any,
    ) -> FlowJob:
        """Describes one more job and returns it; nothing is stored yet.

        `job` and `options`: as for add_job. `after`: jobs of this flow that have to end before, or their labels; those
        whose `result` stands in `data` are among them anyway. `on_failure`: what happens if one of them fails, times
        out or is cancelled: "cancel" (this one is cancelled, too), "run" (it runs all the same, with None for a missing
        result), "skip" (it runs, and a missing result is left out of the list in which it stands). `label`: its name in
        the flow, by default that of its class. InvalidFlowError, InvalidJobError, InvalidOptionError.
        """
        name, spec = REGISTRY.resolve(job)
        label = self._label(label, name if spec is None else spec.cls.__name__)
        _check_options(label, options)
        made = FlowJob(self, label, job, data, options)
        made.on_failure = _policy(label, on_failure)
        made.after(*_listed(label, after))
        self._jobs[label] = made
        return made

    def find(self, job: Any, what: str) -> Any:
        """Returns the job of this flow that is meant: itself, or its label. InvalidFlowError begins with `what`."""
        if isinstance(job, FlowJob):
            if job.flow is not self:
                raise InvalidFlowError(f"{what} {job.label!r} of another flow, {job.flow.name!r}")
            return job
        if is_text(job) and job in self._jobs:
            return self._jobs[job]
        if is_text(job):
            raise InvalidFlowError(f"{what} {job!r:.80}, which is no job of flow {self.name!r}{self._near(job)}")
        raise InvalidFlowError(f"{what} {job!r:.80}; give jobs that flow.add has returned, or their labels")

    def _near(self, label: str) -> str:
        return near_miss(label, self._jobs)

    def _label(self, label: str | None, default: str) -> str:
        if label is None:
            return self._free_label(default.rpartition(".")[2][:_LONGEST_NAME] or default)
        _checked_name("the label of a job", label)
        if self.has_label(label):
            raise InvalidFlowError(f"flow {self.name!r} has a job with the label {label!r} already; choose another one")
        return label

    def _free_label(self, name: str) -> str:
        number = self._numbers.get(name, 0)
        while True:
            number += 1
            label = name if number == 1 else f"{name}-{number}"
            if not self.has_label(label):
                self._numbers[name] = number
                return label

    def has_label(self, label: str) -> bool:
        """Whether a job of this flow has this label."""
        return label in self._jobs

    def __repr__(self) -> str:
        return f"<Flow {self.name} of {len(self._jobs)} jobs>"


def _checked_name(what: str, name: Any) -> str:
    if not is_text(name) or not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise InvalidFlowError(f"{what} must be a printable text of 1 to {_LONGEST_NAME} characters, not {name!r:.60}")
    return str(name)


def _policy(label: str, value: Any) -> str:
    if value not in POLICIES:
        raise InvalidFlowError(
            f'job {label!r}: on_failure must be "cancel", "run" or "skip", not {value!r:.60}'
            f"{near_miss(value, POLICIES) if is_text(value) else ''}"
        )
    return str(value)


def _listed(label: str, after: Any) -> Sequence[Any]:
    if is_text(after) or isinstance(after, FlowJob):
        return [after]
    if not isinstance(after, Iterable) or isinstance(after, Mapping | bytes):
        raise InvalidFlowError(f"job {label!r}: after must be a list of jobs of the flow, not {type(after).__name__}")
    return list(after)


def _check_options(label: str, options: Mapping[str, Any]) -> None:
    """Raises InvalidOptionError for options that are wrong or do not go with a flow."""
    for name in _REFUSED:
        if options.get(name):
            raise InvalidOptionError(f"job {label!r}: option {name} does not go with a flow, whose jobs run once each")
    JobOptions.of(options)


def check_class_options(label: str, options: JobOptions) -> None:
    """Raises InvalidOptionError if an option that stands on the class of a job does not go with a flow."""
    for name in _REFUSED:
        if getattr(options, name):
            plain = getattr(JobOptions(), name)
            raise InvalidOptionError(
                f"job {label!r}: its class has the option {name}, which does not go with a flow; "
                f"add it with {name}={plain!r}"
            )


# -- chains and groups ------------------------------------------------------------------------------------------------


def chain(*calls: Any, name: str = "chain") -> Flow:
    """Returns a flow in which each call comes after the one before.

        chain(call(fetch, url), call(parse, previous), [call(store, previous), call(index, previous)])

    Each is a `call(job, ...)` or anything else that add_jobs takes, or a list of such: they run beside each other, and
    what follows waits for all of them. previous stands in a call for the result of the one before; after a list, for
    the list of their results. InvalidFlowError.
    """
    flow, before, is_list = Flow(name), list[FlowJob](), False
    if not calls:
        raise InvalidFlowError("a chain needs at least one call")
    for step in calls:
        parallel = isinstance(step, list)
        if parallel and not step:
            raise InvalidFlowError("a list of calls in a chain must not be empty")
        results: Any = [one.result for one in before] if is_list else before[0].result if before else None
        made = [_added(flow, entry, before, results) for entry in (step if parallel else [step])]
        before, is_list = made, parallel
    return flow


def group(calls: Iterable[Any], then: Any = None, *, name: str = "group") -> Flow:
    """Returns a flow of calls that run beside each other, and of `then`, a call that comes after all of them.

        group([call(resize, path) for path in paths], then=call(publish, previous))

    previous stands in `then` for the list of their results. InvalidFlowError.
    """
    listed = list(calls)
    return chain(listed, name=name) if then is None else chain(listed, then, name=name)


def _added(flow: Flow, entry: Any, before: Sequence[FlowJob], results: Any) -> FlowJob:
    parts = entry if isinstance(entry, tuple) else (entry,)
    if not 1 <= len(parts) <= 3:
        raise InvalidFlowError("give a call, a job, or a tuple of job, data and options")
    job, data, options = (*parts, None, None)[:3]
    if options is not None and not isinstance(options, Mapping):
        raise InvalidOptionError(f"options must be a mapping, not {type(options).__name__}")
    return flow.add(job, _with_previous(data, results), after=before, **(options or {}))


def _with_previous(data: Any, results: Any) -> Any:
    """Returns data with the results of what comes before in the place of previous."""
    if data is previous:
        if results is None:
            raise InvalidFlowError("previous stands in the first call of a chain, before which nothing comes")
        return results
    if isinstance(data, Mapping):
        return {name: _with_previous(item, results) for name, item in data.items()}
    return [_with_previous(item, results) for item in data] if isinstance(data, list | tuple) else data
