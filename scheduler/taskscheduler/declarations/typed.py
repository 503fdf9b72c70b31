"""What type checkers know of the arguments, the result and the options of a job; nothing at run time looks here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypedDict

from bson import ObjectId

from taskscheduler.model.checks import Seconds, StartBy
from taskscheduler.model.options import At
from taskscheduler.model.solo import Solo

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R_co = TypeVar("R_co", covariant=True, default=Any)
else:  # the default, of PEP 696, is for type checkers alone
    from typing import TypeVar

    R_co = TypeVar("R_co", covariant=True)

__all__ = ["JobOptionArguments", "P", "R_co", "TypedJob"]

P = ParamSpec("P")


class TypedJob(Protocol[P, R_co]):
    """A `@job` function: it takes these arguments, and its job has this result."""

    def __declared__(self, /, *args: P.args, **named: P.kwargs) -> R_co:
        """Exists for type checkers alone."""
        ...


class JobOptionArguments(TypedDict, total=False):
    """The job options as keywords. JobOptions says what each means and validates them."""

    at: At
    interval: Seconds
    interval_reference: Literal["start", "end"]
    retry: int
    retry_interval: Seconds
    backoff: str | Sequence[Seconds]
    retry_interval_max: Seconds
    jitter: float
    retry_for: Seconds
    start_by: StartBy | None
    timeout: Seconds
    silence_timeout: Seconds
    force_spawn: bool
    id: ObjectId | str | None
    ignore_data: bool
    dedupe: bool
    unique_for: Seconds
    unique_key: str | None
    debounce: Seconds
    debounce_max: Seconds
    queue: str
    priority: int
    parent: ObjectId | str | None
    tags: Collection[str]
    solo: Solo | None
    limits: Collection[str]
    sequence: str | None
    sequence_on_failure: Literal["skip", "block"]
    group: str | None
