"""Many jobs of one class in one call of `start`: what it gets, and how each of them ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from bson import ObjectId

from taskscheduler.declarations.registry import JobSpec
from taskscheduler.errors import (
    InvalidArgumentsError,
    InvalidDataError,
    InvalidOptionError,
    InvalidStateError,
    JobFailure,
)
from taskscheduler.model.attempt_result import AttemptResult, failure, located, storable
from taskscheduler.model.lifecycle import Ending


class BatchRun:
    """The jobs of one run, each known by its place among them. A job whose data do not fit fails before the run."""

    def __init__(self, documents: Sequence[Mapping[str, Any]]) -> None:
        self.documents = documents
        self.items: list[Any] = []  #: the data of the jobs that run
        self._places: list[int] = []  #: of these jobs
        self._refused: dict[int, AttemptResult] = {}
        self._failed: dict[int, AttemptResult] = {}  #: by `fail_item`
        self._results: dict[int, AttemptResult] = {}
        self._spec: JobSpec

    def refuse(self, place: int, result: AttemptResult) -> None:
        """Leaves a job out of the run, which has ended so before it."""
        self._refused[place] = result

    def load(self, spec: JobSpec) -> None:
        """Makes the items of the data of the jobs, as the class declares them."""
        self._spec = spec
        for place, document in enumerate(self.documents):
            if place in self._refused:
                continue
            try:
                self.items.append(spec.load(document.get("data")))
            except InvalidArgumentsError as error:
                self.refuse(place, self._result_of(error))
            else:
                self._places.append(place)

    @property
    def ids(self) -> list[ObjectId]:
        """The jobs that run, in the order of the items."""
        return [self.documents[place]["_id"] for place in self._places]

    def start(self, job: Any) -> Any:
        """Calls `start` with the items; returns what that returns."""
        return job.start(list(self.items)) if self.items else None

    def fail(self, number: int, why: str | BaseException) -> None:
        """Notes that one item has failed. InvalidOptionError for a number that no item has, or another reason."""
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(self.items):
            raise InvalidOptionError(f"there is no item {number!r:.60}: they are numbered 0 to {len(self.items) - 1}")
        if not isinstance(why, str | Exception):
            raise InvalidOptionError(f"an item fails for a reason, a text or an exception, not for {why!r:.60}")
        error = JobFailure(why) if isinstance(why, str) else why
        self._failed[self._places[number]] = self._result_of(error)

    def _result_of(self, error: BaseException) -> AttemptResult:
        spec = self._spec
        return located(failure(error, spec.rules), error, spec.name, spec.cls.__module__)

    def returned(self, value: Any, max_payload: int) -> AttemptResult:
        """Takes what `start` returned, a list with a result for each item or None; returns how the run ended."""
        name, rules = self._spec.name, self._spec.rules
        if value is None:
            return AttemptResult(Ending.SUCCEEDED, {})
        if not isinstance(value, list | tuple) or len(value) != len(self.items):
            what = f"{len(value)} results" if isinstance(value, list | tuple) else f"{type(value).__name__}"
            text = f"job {name} returned {what} for {len(self.items)} items: return None, or a list with one for each"
            return failure(InvalidDataError(text), rules)
        for place, result in zip(self._places, value, strict=True):
            if result is not None:
                self._results[place] = storable(name, result, max_payload, rules)
        return AttemptResult(Ending.SUCCEEDED, {})

    def outcomes(self, run: AttemptResult) -> dict[int, AttemptResult]:
        """Returns how jobs ended that did not end as their `run` did, by their places."""
        results = self._results if run.ending is Ending.SUCCEEDED else {}
        return {**results, **self._failed, **self._refused}


class BatchedJob:
    """What a job has of the batch that it runs."""

    name: ClassVar[str]
    id: ObjectId
    _batch: BatchRun | None = None  #: None for a job that runs by itself

    @property
    def ids(self) -> list[ObjectId]:
        """The ids of the jobs that run together, in the order of the items that `start` gets."""
        return [self.id] if self._batch is None else self._batch.ids

    def fail_item(self, number: int, why: str | BaseException) -> None:
        """Fails one of the jobs that run together, by its number among the items, counted from 0; the others go on.

        `why` is its error: a text, or an exception such as Retry or Discard, which decides on its next try as if the
        job had raised it by itself. The run goes on, and its result for this item is ignored. InvalidOptionError for
        another number or reason, InvalidStateError in a job without the option `batch`.
        """
        if self._batch is None:
            raise InvalidStateError(f"job {self.name} has no items, as it does not run in batches; use self.fail")
        self._batch.fail(number, why)

    def _check_alone(self, what: str) -> None:
        """Raises InvalidStateError where jobs run in batches: this is of one job."""
        if self._batch is not None:
            raise InvalidStateError(
                f"job {self.name} runs in batches, and a batch has no {what}, which belongs to one job; "
                "add a job without the option batch for that"
            )
