"""Rooms: what the controls have free, as one pass over the lists of parked jobs reads and uses it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from taskscheduler.clock import Clock, ServerClock
from taskscheduler.model.control.controls import Controls
from taskscheduler.model.control.keys import (
    FLOW,
    LIMIT,
    RATE,
    SEQUENCE,
    SOLO,
    free_number,
    key,
    keys_of,
    kind_and_name,
    place,
)
from taskscheduler.model.control.known import Coverage, coverage
from taskscheduler.model.control.pauses import PAUSE, pause_of_key
from taskscheduler.model.control.rules import kept_back, keys_to_pass, refusal
from taskscheduler.model.document import Document
from taskscheduler.model.nodes import NodeState, state_of
from taskscheduler.store.control.places import PlaceStore
from taskscheduler.store.control.rates import FED, RateStore
from taskscheduler.store.control.sequences import SequenceStore
from taskscheduler.store.control.settings import ControlStore
from taskscheduler.store.nodes import NodeStore

#: the fields of a job that decide whether it may run
ROOM_FIELDS = ("queue", "class", "tags", "sequence", "turn", "limits", "solo")

_NODES_CURRENT = 1.0  #: seconds for which nodes that were up are taken to be up

_FED_AT_ONCE = 50  #: starts that are asked for at a time


class Rooms:
    """Reads what is free when it is asked for, and remembers it and what was used of it until `end`."""

    def __init__(
        self,
        controls: Controls,
        now: datetime,
        up: Sequence[Mapping[str, Any]],
        places: PlaceStore,
        sequences: SequenceStore,
        rates: RateStore,
        clock: Clock,
    ) -> None:
        self._controls = controls
        self._now = now
        self._up = up  #: the nodes that are up
        self._places = places
        self._sequences = sequences
        self._rates = rates
        self._taken: dict[str, list[str]] = {}
        self._heads: dict[str, Document | None] = {}
        self._credit: dict[str, int] = {}  #: starts that were taken from rates and are not used yet
        self._clock = clock
        self._dry: dict[str, float] = {}  #: when a rate that has refused allows the next start, in monotonic time
        self.admitted = 0

    @property
    def wait(self) -> float | None:
        """Seconds until a rate that has refused allows the next start; None if none has."""
        return max(0.0, min(self._dry.values()) - self._clock.monotonic()) if self._dry else None

    def next_start(self, text: str) -> float | None:
        """Returns when to look again at a rate that has refused, in monotonic time; None for any other control."""
        kind, name = kind_and_name(text)
        limit = self._controls.limit_of(name) if kind == RATE and name in self._dry else None
        return None if limit is None else self._dry[name] + limit.slack

    def of(self, text: str) -> float:
        """Returns for how many jobs a control has room; infinity if it keeps none back."""
        kind, name = kind_and_name(text)
        if kind == LIMIT:
            limit = self._controls.limit_of(name)
            most = None if limit is None else limit.concurrency
            return math.inf if most is None else most - len(self._taken_of(text))
        if kind == RATE:
            return self._credit_of(name)
        if kind in (SEQUENCE, SOLO):
            return 1 - len(self._taken_of(text))
        return 0 if kind == FLOW or (kind == PAUSE and self._is_paused(text)) else math.inf

    def is_run(self, job: Mapping[str, Any]) -> bool:
        """Whether a node that is up runs jobs of this class and queue; True if no node is up."""
        name, queue = str(job.get("class")), str(job.get("queue"))
        return not self._up or coverage(name, queue, self._up) is Coverage.KNOWN

    def kept_back(self, job: Mapping[str, Any]) -> str | None:
        """Returns what keeps a job back whatever places are free; None if nothing does."""
        return kept_back(job, self._controls, self._now, self)

    def lets_in(self, text: str, job: Mapping[str, Any]) -> bool:
        """Whether a control has room for this job."""
        kind, name = kind_and_name(text)
        if self.of(text) < 1:
            return False
        return kind != SEQUENCE or (self.head(name) or {}).get("_id") == job["_id"]

    def head(self, name: str) -> Document | None:
        """Returns the job of a sequence whose turn it is."""
        if name not in self._heads:
            self._heads[name] = self._sequences.head(name)
        return self._heads[name]

    def enter(self, job: Mapping[str, Any]) -> tuple[str | None, list[str]]:
        """Returns the first control that refuses a job, or None and the places that it gets."""
        refused = refusal(job, self._controls, self._now, self)
        if refused is not None:
            return refused, []
        for text in keys_to_pass(job, self._controls):
            kind, name = kind_and_name(text)
            if kind == RATE:
                self._credit[name] -= 1
        return None, [self._take(job, text) for text in keys_of(job)]

    def unused(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """Takes back the starts that jobs got which somebody else has admitted at the same time."""
        for job in jobs:
            for kind, name in map(kind_and_name, keys_to_pass(job, self._controls)):
                if kind == RATE:
                    self._credit[name] = self._credit.get(name, 0) + 1

    def _take(self, job: Mapping[str, Any], text: str) -> str:
        kind, name = kind_and_name(text)
        if kind == SOLO:
            chosen = name
        elif kind == SEQUENCE:
            chosen = place(text, 0)
        else:
            limit = self._controls.limit_of(name)
            most = None if limit is None else limit.concurrency
            chosen = place(text, job["_id"] if most is None else free_number(self._taken_of(text), text, most))
        if text in self._taken:
            self._taken[text].append(chosen)
        return chosen

    def _taken_of(self, text: str) -> list[str]:
        if text not in self._taken:
            self._taken[text] = self._places.taken(text)
        return self._taken[text]

    def _credit_of(self, name: str) -> float:
        limit = self._controls.limit_of(name)
        if limit is None or limit.rate is None:
            return math.inf
        if not self._credit.get(name) and self._clock.monotonic() >= self._dry.get(name, float("-inf")):
            granted = self._rates.take(name, limit, _FED_AT_ONCE, FED)
            self._credit[name] = granted.starts
            if granted.starts:
                self._dry.pop(name, None)
            else:  # a pass over many jobs may take longer than that
                self._dry[name] = self._clock.monotonic() + granted.wait
        return self._credit.get(name, 0)

    def _is_paused(self, text: str) -> bool:
        pause = pause_of_key(text)
        return pause is not None and any(
            one.key == text and not one.is_over(self._now) for one in self._controls.pauses
        )

    def forget(self, keys: Iterable[str]) -> None:
        """Has the room of these controls read again; starts that were taken from rates stay ours."""
        for text in keys:
            self._taken.pop(text, None)
            self._heads.pop(kind_and_name(text)[1], None)

    def forget_all(self) -> None:
        """Has everything read again."""
        self._taken.clear()
        self._heads.clear()

    def end(self) -> list[str]:
        """Gives back the starts that were taken for nothing; returns the keys of their rates."""
        given_back = list[str]()
        for name, count in self._credit.items():
            limit = self._controls.limit_of(name)
            if count and limit is not None:
                self._rates.give_back(name, limit, count, FED)
                given_back.append(key(RATE, name))
        self._credit.clear()
        return given_back


class _Glance(Rooms):
    """What the controls have free, without taking starts from rates."""

    def _credit_of(self, name: str) -> float:
        limit = self._controls.limit_of(name)
        free = limit is None or limit.rate is None or self._rates.wait(name, limit) <= 0
        self._credit[name] = 1
        return math.inf if free else 0

    def end(self) -> list[str]:
        """There is nothing to give back."""
        return []


class RoomStore:
    """Begins passes over the lists of parked jobs."""

    def __init__(
        self,
        controls: ControlStore,
        clock: ServerClock,
        nodes: NodeStore,
        places: PlaceStore,
        sequences: SequenceStore,
        rates: RateStore,
    ) -> None:
        self._controls = controls
        self._clock = clock
        self._nodes = nodes
        self._up, self._up_at = list[Document](), float("-inf")
        self._places = places
        self._sequences = sequences
        self._rates = rates

    def _now(self) -> tuple[Controls, datetime, list[Document]]:
        read_at = self._clock.monotonic()
        if read_at - self._up_at > _NODES_CURRENT:
            self._up = [node for node in self._nodes.all() if state_of(node) is NodeState.UP]
            self._up_at = read_at
        return self._controls.current(), self._clock.now(), self._up

    def is_shared(self, text: str) -> bool:
        """Whether a job that ends makes room under a control for another one: not if it only keeps a rate."""
        kind, name = kind_and_name(text)
        return kind != LIMIT or not self._controls.current().has_rate_only(name)

    def begin(self) -> Rooms:
        """Returns what the controls have free from now on."""
        return Rooms(*self._now(), self._places, self._sequences, self._rates, self._clock)

    def look(self) -> Rooms:
        """Returns the same for somebody who only looks: nothing is taken from a rate."""
        return _Glance(*self._now(), self._places, self._sequences, self._rates, self._clock)
