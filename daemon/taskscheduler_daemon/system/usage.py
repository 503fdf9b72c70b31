"""What this process spends: CPU time and peak memory, told apart for the jobs that it runs one after another."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from taskscheduler.model.attempts.cost import Cost

T = TypeVar("T")

_SELF, _CHILDREN = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN

_GROWN = 1024  #: KiB of a new peak; after a smaller one the next job begins with almost the same peak anyway

_RESET_PEAK = b"5"


class UsageMeter:
    """Measures each job from the end of the one before: two system calls a job."""

    def __init__(self) -> None:
        own, below = resource.getrusage(_SELF), resource.getrusage(_CHILDREN)
        self.spent = _cpu(own) + _cpu(below)  #: CPU seconds until the last look, with those of children waited for
        self._peak = own.ru_maxrss
        self._peak_below = below.ru_maxrss
        self._is_reset = True  #: whether the peak is that of now, or a little above
        self._has_grown = False

    def begin(self) -> float:
        """Returns the CPU seconds spent before the job that begins; the peak of another one is forgotten."""
        if self._has_grown:
            self._has_grown, self._is_reset = False, _reset_peak()
            self._peak = resource.getrusage(_SELF).ru_maxrss
        return self.spent

    def lap(self) -> Cost:
        """Returns what was spent since the last call.

        The peak is that of this process, or of a program that it has waited for if that was larger than all before.
        """
        user, system, peak = resource.getrusage(_SELF)[:3]  # a name for the rest would make a list of it
        user_below, system_below, peak_below = resource.getrusage(_CHILDREN)[:3]
        now = user + system + user_below + system_below
        most = peak_below if peak_below > self._peak_below and peak_below > peak else peak
        cpu, self.spent, self._peak_below = now - self.spent, now, peak_below
        if peak - self._peak >= _GROWN:
            self._has_grown = True
        return Cost(cpu if cpu > 0.0 else 0.0, most * 1024 if self._is_reset or peak > self._peak else None)

    def so_far(self) -> Cost:
        """Returns the same and goes on."""
        kept = self.spent, self._peak_below, self._has_grown
        cost = self.lap()
        self.spent, self._peak_below, self._has_grown = kept
        return cost

    def peak(self) -> int:
        """Returns the peak memory of this process in bytes, since it was last reset."""
        return resource.getrusage(_SELF).ru_maxrss * 1024


def _cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def _reset_peak() -> bool:
    """Sets the peak memory of this process to what it has now; returns whether the system does that."""
    try:
        descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
    except OSError:
        return False
    try:
        return os.write(descriptor, _RESET_PEAK) == 1
    except OSError:
        return False
    finally:
        os.close(descriptor)


class Metered(Generic[T]):
    """Awaits a coroutine, and counts the CPU seconds that this takes on the thread of its event loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.coroutine = coroutine
        self._cpu = 0.0
        self._resumed: float | None = None  #: when it was resumed, in CPU seconds of the thread; None if it waits

    @property
    def cpu(self) -> float:
        """CPU seconds until now. For the thread of the event loop."""
        return self._cpu if self._resumed is None else self._cpu + time.thread_time() - self._resumed

    def __await__(self) -> Metered[T]:
        return self

    def __iter__(self) -> Metered[T]:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """Runs the coroutine to its next await."""
        self._resumed = time.thread_time()
        try:
            return self.coroutine.send(value)
        finally:
            self._count()

    def throw(self, *error: Any) -> Any:
        """Raises an error in the coroutine, and runs it to its next await."""
        self._resumed = time.thread_time()
        try:
            return self.coroutine.throw(*error)
        finally:
            self._count()

    def _count(self) -> None:
        self._cpu, self._resumed = self.cpu, None

    def close(self) -> None:
        """Closes the coroutine."""
        self.coroutine.close()
