"""Selection: many jobs at once, as `scheduler.select` gives it. A verb is defined once, as steps of one batch each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from taskscheduler.errors import InvalidOptionError
from taskscheduler.facade.actions import many
from taskscheduler.facade.core import Core
from taskscheduler.facade.methods import Methods
from taskscheduler.model.changes import RETRY_OPTIONS, UNCHANGED, JobChanges, reason_option
from taskscheduler.model.checks import Seconds, boolean, integer, seconds
from taskscheduler.model.document import Document
from taskscheduler.model.filters.expression import Filter
from taskscheduler.operations.retry import Retrying
from taskscheduler.operations.selections.batches import Selected, Verb, apply_to_selected
from taskscheduler.operations.selections.cancel import ManyCancellations
from taskscheduler.operations.selections.delete import ManyDeletions
from taskscheduler.operations.selections.result import SelectionResult, tell_how_far
from taskscheduler.operations.selections.retry import ManyRetries
from taskscheduler.process import Process
from taskscheduler.store.driver_errors import translated
from taskscheduler.validation import named

logger = logging.getLogger(__name__)

A = ParamSpec("A")
S = TypeVar("S", bound="Found")


class Where:
    """The jobs that are meant: an expression or a query, checked."""

    def __init__(self, meant: Filter | Document, slow: bool) -> None:
        self._meant = meant
        self._slow = slow

    @classmethod
    def of(cls, where: Any, everything: bool, slow: bool) -> Where:
        """Checks what was given to `select`. InvalidOptionError."""
        meant = Filter.parse(where) if isinstance(where, str) else named(where or {})
        empty = not (meant.terms if isinstance(meant, Filter) else meant)
        if empty and not everything:
            raise InvalidOptionError(
                "a selection of all jobs has to say so: everything=True, on the command line --all; "
                'or give a filter such as "status:failed"'
            )
        if everything and not empty:
            raise InvalidOptionError("give a filter or everything=True, not both")
        return cls(meant, slow or everything)

    @property
    def text(self) -> str:
        """The expression or the query as it was given."""
        return str(self._meant) or "everything"

    def selected(self, core: Core) -> Selected:
        """Returns the query, in which `-2h` counts from now."""
        meant = self._meant
        query = meant.query(core.store.clock.now()) if isinstance(meant, Filter) else meant
        return Selected(query, self._slow, repr(str(meant)))


class Found(Methods):
    """The jobs of one selection, and what is known of them."""

    def __init__(self, core: Core, where: Where) -> None:
        super().__init__(core)
        self._where = where
        self._known: Selected | None = None

    def __str__(self) -> str:
        """Returns the expression or the query, for people."""
        return self._where.text

    @property
    def _selected(self) -> Selected:
        """The query; a time such as `-2h` counts from its first use."""
        if self._known is None:
            self._known = self._where.selected(self._core)
        return self._known

    def _steps(self, done: str, verb: Verb, bounds: Bounds, reason: str | None) -> Iterator[SelectionResult]:
        """Applies a verb, a batch at each step, and logs at the end what was done. `done`: such as `retried`."""
        result = SelectionResult(dry_run=bounds.dry_run, done=done)
        try:
            with translated():
                yield from apply_to_selected(self._core.store, self._selected, verb, bounds.limit, result)
        except BaseException as error:
            tell_how_far(error, result)
            raise
        if not bounds.dry_run:
            said = {"where": self._selected.text, "count": result.count, "skipped": result.skipped, "reason": reason}
            logger.info("many jobs %s", done, extra=said)


class Bounds(NamedTuple):
    """How far a verb goes: to how many jobs, and whether it only counts them."""

    limit: int | None
    dry_run: bool

    @classmethod
    def of(cls, limit: Any, dry_run: Any) -> Bounds:
        """Checks them. InvalidOptionError."""
        most = None if limit is None else integer("limit", limit, least=1)
        return cls(most, boolean("dry_run", dry_run))


# -- the verbs, as steps ----------------------------------------------------------------------------------------------


@many("jobs.retry")
def retry(
    self: Found,
    /,
    data: Any = UNCHANGED,
    *,
    dry_run: bool = False,
    limit: int | None = None,
    spread: Seconds = 0,
    reason: str | None = None,
    **options: Any,
) -> Iterator[SelectionResult]:
    """Puts the jobs that have ended back in the queue, the oldest first. See Scheduler.retry_job.

    `data` and options change what they run with. They become due evenly over `spread` seconds; 0: at once. `limit`:
    at most so many; `dry_run`: only count them. Jobs of whom another one has taken the place are skipped, and so are
    records of programs. It goes on in batches: interrupted, it says how far it came, and can be repeated.
    """
    core, bounds, reason = self._core, Bounds.of(limit, dry_run), reason_option(reason)
    changes, over = JobChanges.of(options, data, RETRY_OPTIONS), seconds("spread", spread)
    with translated():
        retrying = Retrying(core.store, core.clock, changes, reason)
    verb = ManyRetries(core.store, retrying, core.announcer, core.processes, over)
    yield from self._steps("retried", verb, bounds, reason)


@many("jobs.cancel")
def cancel(
    self: Found, *, dry_run: bool = False, limit: int | None = None, reason: str | None = None
) -> Iterator[SelectionResult]:
    """Cancels the jobs that have not ended, the oldest first. See Scheduler.cancel_job.

    The `reason` is stored in them. `limit`: at most so many; `dry_run`: only count them. It goes on in batches:
    interrupted, it says how far it came, and can be repeated.
    """
    core, bounds, reason = self._core, Bounds.of(limit, dry_run), reason_option(reason)
    with translated():
        verb = ManyCancellations(core.store, core.canceller, reason)
    yield from self._steps("cancelled", verb, bounds, reason)


@many("jobs.delete")
def delete(
    self: Found, *, dry_run: bool = False, limit: int | None = None, reason: str | None = None
) -> Iterator[SelectionResult]:
    """Deletes the jobs in any status, the oldest first; cancels them first if they have not ended.

    The `reason` is logged. `limit`: at most so many; `dry_run`: only count them. It goes on in batches: interrupted, it
    says how far it came, and can be repeated.
    """
    core, bounds, reason = self._core, Bounds.of(limit, dry_run), reason_option(reason)
    with translated():
        verb = ManyDeletions(core.store, core.canceller)
    yield from self._steps("deleted", verb, bounds, reason)


def to_the_end(
    verb: Callable[Concatenate[S, A], Iterator[SelectionResult]],
) -> Callable[Concatenate[S, A], SelectionResult]:
    """Returns the steps of a verb as a method that takes all of them."""

    @wraps(verb)
    def served(self: S, /, *args: A.args, **given: A.kwargs) -> SelectionResult:
        *_, result = verb(self, *args, **given)
        return result

    return served


class Selection(Found):
    """All jobs that match: iterable, counted, retried, cancelled, deleted. Made by Scheduler.select.

    Nothing is read before it is used. A time such as `-2h` counts from the first use. InvalidOptionError if all jobs
    would have to be read to find them, and `slow` was not given.
    """

    def __iter__(self) -> Iterator[Process]:
        """Yields the jobs, in no order, read as you iterate."""
        with translated():
            store = self._core.store
            for document in store.search.documents(self._selected.searches(store)):
                yield self._core.processes.process(document)

    def count(self) -> int:
        """Returns how many jobs match."""
        with translated():
            store = self._core.store
            return store.search.count(self._selected.searches(store))

    retry = to_the_end(retry)
    cancel = to_the_end(cancel)
    delete = to_the_end(delete)
