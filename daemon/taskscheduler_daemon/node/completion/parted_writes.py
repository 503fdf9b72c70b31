"""PartedWrites: writes many ends in two parts at once while no job runs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from taskscheduler.store import Store
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import QuickEnd

_End = TypeVar("_End", Completion, QuickEnd)

_TWO_PARTS = 32  #: ends of flows that are worth two writes


class PartedWrites:
    """Writes ends. Only the thread of the completer calls it.

    When all jobs of a layer of a flow have ended, the next ones wait for this write, and the processors have nothing
    else to do. Then the server works on two parts at once, in a little more than half of the time.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="taskscheduler-write")

    def write(self, ends: Sequence[Completion], running: int, quick: Sequence[QuickEnd] = ()) -> int:
        """Writes ends while so many attempts run; returns how many fences still held. None is under way afterwards.

        The caller repeats it after a fault, as `CompletionStore.write`: a part may have been written.
        """
        of_flows = 0 if running else _of_flows(ends) + _of_flows(quick)
        if of_flows < _TWO_PARTS:
            return self._store.completions.write(ends, quick)
        first, second = zip(_halves(ends), _halves(quick), strict=True)
        writing = self._pool.submit(self._store.completions.write, *first)
        try:
            matched = self._store.completions.write(*second)
        except BaseException:
            writing.exception()  # which waits for it
            raise
        return matched + writing.result()

    def close(self) -> None:
        """Ends the other thread."""
        self._pool.shutdown()


def _halves(ends: Sequence[_End]) -> tuple[list[_End], list[_End]]:
    """Divides ends so that the server takes those together that are written as one."""
    alike = sorted(ends, key=lambda one: (one.worker or "", one.fence.claim))
    half = len(alike) // 2
    return alike[:half], alike[half:]


def _of_flows(ends: Sequence[Completion] | Sequence[QuickEnd]) -> int:
    return sum(one.member is not None for one in ends)
