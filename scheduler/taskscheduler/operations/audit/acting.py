"""Knows on whose behalf this thread or coroutine acts. Threads that somebody starts himself begin with nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from taskscheduler.model.audit.actors import Acting, Actor
from taskscheduler.model.changes import reason_option
from taskscheduler.process_identity import this_user

_ACTING: ContextVar[Acting | None] = ContextVar("taskscheduler_acting", default=None)


def acting() -> Acting | None:
    """Returns who acts here; None for a program that acts for itself."""
    return _ACTING.get()


def acting_name() -> str:
    """Returns who acts here, for people: the name of the actor, else user@host of this process."""
    known = _ACTING.get()
    return this_user() if known is None else known.actor.name


def may_act(action: str) -> bool:
    """Returns whether who acts here may take this action; a program that acts for itself may take any."""
    known = _ACTING.get()
    return known is None or known.actor.may(action)


def acting_as(actor: Actor, reason: str | None = None) -> AbstractContextManager[Acting]:
    """Returns a block in which all that this thread or coroutine does is done by this actor. InvalidOptionError."""
    return _within(Acting(actor, reason_option(reason)))


@contextmanager
def _within(entered: Acting) -> Iterator[Acting]:
    token = _ACTING.set(entered)
    try:
        yield entered
    finally:
        _ACTING.reset(token)


def explain(reason: Any) -> None:
    """Gives the reason for what follows on behalf of the actor here. InvalidOptionError."""
    known = _ACTING.get()
    if known is not None:
        _ACTING.set(known.because(reason))
