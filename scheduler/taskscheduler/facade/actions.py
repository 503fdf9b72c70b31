"""The one place through which actions pass: rights are checked there, and what people do is written down.

A method that changes something says so by its decorator, `@action("job.cancel", target="job_id")`. Called by a program
that acts for itself, it runs as it is. Called on behalf of an actor, see `scheduler.audit.acting`, the role must allow
the action, and an entry is in the audit log before it begins. The coroutine methods run the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import wraps
from inspect import Signature, signature
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, cast

from taskscheduler.errors import InvalidOptionError
from taskscheduler.facade.methods import Methods
from taskscheduler.model.audit.actors import Acting
from taskscheduler.model.changes import UNCHANGED
from taskscheduler.operations.audit.acting import acting
from taskscheduler.operations.selections.result import SelectionResult

A = ParamSpec("A")
M = TypeVar("M", bound=Methods)
T = TypeVar("T")

_REWRITES = {"job.retry": "job.rewrite", "job.update": "job.rewrite", "jobs.retry": "jobs.rewrite"}


class _Asked(NamedTuple):
    """A call of an action, as it is written down."""

    acting: Acting
    what: str
    target: Any
    facts: Mapping[str, Any]
    stays_open: bool


class _Description(NamedTuple):
    """What a decorator says of a method."""

    what: str
    target: str | None
    facts: tuple[str, ...]
    parameters: Signature

    def asked(self, known: Acting, args: tuple[Any, ...], named: Mapping[str, Any]) -> _Asked:
        """Returns what a call asks for; TypeError for a call that does not fit the method."""
        given = self.parameters.bind(None, *args, **named).arguments
        reason = given.get("reason")
        facts = {name: given.get(name) for name in self.facts}
        rewrites = given.get("data", UNCHANGED) is not UNCHANGED
        what = _REWRITES.get(self.what, self.what) if rewrites else self.what
        return _Asked(
            _because(known, reason), what, given.get(self.target or ""), facts, given.get("session") is not None
        )


def _because(known: Acting, reason: Any) -> Acting:
    """Returns who acts with the reason of a call; a bad one is left to the method, which refuses it."""
    with suppress(InvalidOptionError):
        return known if reason is None else known.because(reason)
    return known


def action(
    what: str, *, target: str | None = None, facts: tuple[str, ...] = ()
) -> Callable[[Callable[Concatenate[M, A], T]], Callable[Concatenate[M, A], T]]:
    """Makes a method an action. `target`: the parameter that names what it acts on; `facts`: others to write down.

    Never name a parameter with data of users there, which may be secret. The parameter `reason`, if there is one, is
    the reason of the entry, and a call with `session` leaves its entry open.
    """

    def decorate(method: Callable[Concatenate[M, A], T]) -> Callable[Concatenate[M, A], T]:
        described = _Description(what, target, facts, signature(method))

        @wraps(method)
        def served(self: M, /, *args: A.args, **named: A.kwargs) -> T:
            known = acting()
            if known is None:
                return method(self, *args, **named)
            asked = described.asked(known, args, named)
            with self.core.audit_trail.entry(asked.acting, asked.what, asked.target, asked.facts) as entry:
                entry.stays_open = asked.stays_open
                result = method(self, *args, **named)
                entry.ended(result)
                return result

        return served

    return decorate


def many(
    what: str,
) -> Callable[[Callable[Concatenate[M, A], Iterator[T]]], Callable[Concatenate[M, A], Iterator[T]]]:
    """Makes the steps of a verb on a selection an action; a dry run is none."""

    def decorate(verb: Callable[Concatenate[M, A], Iterator[T]]) -> Callable[Concatenate[M, A], Iterator[T]]:
        described = _Description(what, None, ("limit", "spread"), signature(verb))

        @wraps(verb)
        def served(self: M, /, *args: A.args, **named: A.kwargs) -> Iterator[T]:
            known = acting()
            if known is None or named.get("dry_run") is True:
                return verb(self, *args, **named)
            return _entered(self, described.asked(known, args, named), verb(self, *args, **named))

        return served

    return decorate


def _entered(self: Methods, asked: _Asked, steps: Iterator[T]) -> Iterator[T]:
    facts = {"where": str(self), **asked.facts}
    with self.core.audit_trail.entry(asked.acting, asked.what, None, facts) as entry:
        for step in steps:
            entry.outcome = {"count": cast(SelectionResult, step).count}  # also if the next step fails
            yield step
