"""How often Python looks for garbage in a process through which many objects go."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_ALLOCATIONS = 10_000


@contextmanager
def rare_collections() -> Iterator[None]:
    """Has Python look for garbage after 10 000 new objects instead of 700; what somebody else has chosen stays.

    Thousands of attempts are in flight in a node that drains a queue, and hardly any object is ever garbage. To look at
    them again and again took a fifteenth of its CPU time. Not for processes that run jobs.
    """
    before = gc.get_threshold()
    if 0 < before[0] < _ALLOCATIONS:
        gc.set_threshold(_ALLOCATIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
