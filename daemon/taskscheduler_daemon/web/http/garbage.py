"""Pauses the garbage collector of Python while many objects are made that are all dropped soon."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pauses the collector, which walks over all objects of the process again and again while many are made.

    What is made inside has to be dropped inside. If several threads pause it, it may begin again with the first end:
    that costs only time. It stays off where somebody has switched it off.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
