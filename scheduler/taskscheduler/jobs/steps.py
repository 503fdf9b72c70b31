"""The durable steps of one attempt: what earlier attempts have done is not done again. Blocking; see `resumable`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from taskscheduler.errors import SignalTimeoutError
from taskscheduler.model.payload import as_stored, payload
from taskscheduler.model.raised import AttemptLost, JobAsleep
from taskscheduler.model.resumable.signals import Signal, entry_of, name_of
from taskscheduler.model.resumable.steps import MOST_STEPS, Kind, check_kind, too_many, used_twice
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.resumable.steps import StepState

MISSING = object()  #: stands for the result of a step that has none yet


class AttemptSteps:
    """The steps, sleeps and waits of one attempt. Safe to use from many threads; nothing is read before the first.

    Every method raises AttemptLost if the attempt has lost its job, and the errors of the database.
    """

    def __init__(self, store: Store, job_id: ObjectId, attempt: int) -> None:
        self._store = store
        self._job_id = job_id
        self._attempt = attempt
        self._lock = threading.RLock()
        self._used: set[str] = set()  #: names that this attempt has come to
        self._sleeps = 0
        self._state: StepState | None = None

    def belongs_to(self, job_id: ObjectId, attempt: int) -> bool:
        """Returns whether these are the steps of this attempt."""
        return (self._job_id, self._attempt) == (job_id, attempt)

    def recall(self, name: Any) -> Any:
        """Begins a step: returns the result that an earlier attempt has stored, or MISSING.

        InvalidStateError if this attempt has used the name, or an earlier one for something else.
        """
        with translated(), self._lock:
            entry = self._begin(name_of("step", name), Kind.STEP)
            return MISSING if entry is None else entry.get("result")

    def record(self, name: str, result: Any) -> Any:
        """Stores the result of a step and returns it as it is stored. InvalidDataError, PayloadTooLargeError."""
        with translated(), self._lock:
            stored = payload(f"the result of step {name!r}", "result", result, self._store.options.max_payload)
            self._add({"name": name, "result": stored, **self._now()})
            return as_stored({"result": stored})["result"]

    def forget(self, name: Any) -> None:
        """Lets a step begin again in this attempt that has failed."""
        with self._lock:
            self._used.discard(name)

    def sleep(self, length: datetime | float, name: Any) -> None:
        """Returns if this sleep is over, else raises JobAsleep. Its end is fixed when the job comes to it first."""
        with translated(), self._lock:
            entry = self._begin(self._name_of_sleep(name), Kind.SLEEP)
            if entry is None:
                now = self._store.clock.now()
                until = length if isinstance(length, datetime) else now + timedelta(seconds=length)
                entry = self._add({"name": self._last, "until": until, **self._now()})
            until = entry["until"]
            if until > self._time():
                raise JobAsleep({"sleep": entry["name"], "until": until}, f"sleeps until {_date(until)}")

    def wait_for(self, name: Any, timeout: float | None) -> Any:
        """Returns the value of a signal, or raises JobAsleep; SignalTimeoutError if it did not come in time."""
        with translated(), self._lock:
            entry = self._begin(name_of("signal", name), Kind.SIGNAL) or self._begin_wait(name, timeout)
            signal = self._signal(name) or self._read_again(name)
            until = entry.get("until")
            if signal is None and until is not None and until <= self._time():
                self._store.steps.time_out(self._loaded.fence, name)
                signal = self._read_again(name)
            if signal is None:
                raise JobAsleep({"name": name, **({} if until is None else {"until": until})}, _waiting(name, until))
            if signal.timed_out:
                raise SignalTimeoutError(name)
            return signal.value

    def _begin(self, name: str, kind: Kind) -> Mapping[str, Any] | None:
        if name in self._used:
            raise used_twice(name)
        self._used.add(name)
        self._last = name
        try:
            entry = entry_of(self._loaded.steps, name)
            if entry is not None:
                check_kind(entry, kind)
            elif len(self._loaded.steps) >= MOST_STEPS:
                raise too_many(self._job_id)
        except BaseException:
            self._used.discard(name)
            raise
        return entry

    def _name_of_sleep(self, name: Any) -> str:
        if name is not None:
            return name_of("sleep", name)
        self._sleeps += 1
        return f"sleep-{self._sleeps}"

    def _begin_wait(self, name: str, timeout: float | None) -> Mapping[str, Any]:
        entry = {"name": name, "signal": True, **self._now()}
        if timeout is not None:
            entry["until"] = self._store.clock.now() + timedelta(seconds=timeout)
        self._store.steps.ensure_awaited()
        return self._add(entry)

    def _add(self, entry: dict[str, Any]) -> Mapping[str, Any]:
        """Stores a new entry, and returns it as it is stored."""
        state = self._loaded
        if len(state.steps) >= MOST_STEPS:
            raise too_many(self._job_id)
        if not self._store.steps.add(state.fence, entry):
            raise self._lost()
        stored = as_stored(entry)
        state.steps.append(stored)
        return stored

    @property
    def _loaded(self) -> StepState:
        if self._state is None:
            self._state = self._store.steps.load(self._job_id, self._attempt)
        if self._state is None:
            raise self._lost()
        return self._state

    def _signal(self, name: str) -> Signal | None:
        entry = entry_of(self._loaded.signals, name)
        return None if entry is None else Signal.of(entry, won=False)

    def _read_again(self, name: str) -> Signal | None:
        self._state = None
        return self._signal(name)

    def _now(self) -> dict[str, Any]:
        return {"at": self._store.clock.now(), "attempt": self._attempt}

    def _time(self) -> datetime:
        """Returns the time by the server's clock: when it was last read, or what it should be by now."""
        return max(self._loaded.read, self._store.clock.now())

    def _lost(self) -> AttemptLost:
        return AttemptLost(self._job_id, self._attempt)


def _waiting(name: str, until: datetime | None) -> str:
    limit = "" if until is None else f" until {_date(until)}"
    return f"waits for signal {name!r}{limit}"


def _date(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
