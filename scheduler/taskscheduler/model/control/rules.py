"""Decides whether a due job may wait for a slot: the one order in which everything that can keep it back is asked.

A job that is too late is ended before; whether there is a slot is decided after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from taskscheduler.model.control.controls import Controls
from taskscheduler.model.control.keys import LIMIT, RATE, key, keys_of, kind_and_name, node_key
from taskscheduler.model.sound import sound


class Room(Protocol):
    """What the controls have free."""

    def is_run(self, job: Mapping[str, Any]) -> bool:
        """Whether a node that is up runs jobs of this class and queue; True if no node is up."""
        ...

    def lets_in(self, text: str, job: Mapping[str, Any]) -> bool:
        """Whether the control of this key has room for a job."""
        ...


def keys_to_pass(job: Mapping[str, Any], controls: Controls) -> Iterator[str]:
    """Yields the controls of a job in the order of evaluation: its sequence, limits, solo key, then rates."""
    keys = keys_of(job)
    yield from keys
    for text in keys:
        kind, name = kind_and_name(text)
        if kind == LIMIT and (limit := controls.limit_of(name)) is not None and limit.rate is not None:
            yield key(RATE, name)


def refusal(job: Mapping[str, Any], controls: Controls, now: datetime, room: Room) -> str | None:
    """Returns the key of the first control that keeps a due job from running; None if it may run.

    `now` is the time of the server.
    """
    kept = kept_back(job, controls, now, room)
    if kept is not None:
        return kept
    return next((text for text in keys_to_pass(job, controls) if not room.lets_in(text, job)), None)


def kept_back(job: Mapping[str, Any], controls: Controls, now: datetime, room: Room) -> str | None:
    """Returns the key of what keeps a job back whatever places are free: there is no node for it, or it is paused."""
    if not room.is_run(job):
        return node_key(job)
    pause = controls.pause_of(sound(job, "queue"), sound(job, "class"), sound(job, "tags", ()), now=now)
    return None if pause is None else pause.key
