"""Forks of this process end by a signal that this process handles."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


def handle_but_not_in_forks(number: signal.Signals, handler: Callable[[int, FrameType | None], Any]) -> None:
    """Handles a signal, from now on and for good. Forks start without the handler, whenever the signal arrives.

    A signal that arrives in a fork before Python runs there would be forgotten, so it is blocked until then.
    """
    signal.signal(number, handler)
    masks = threading.local()  # threads may fork at the same time, and each has a mask of its own

    def block() -> None:
        masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, [number])

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.before)

    def forget() -> None:
        if signal.getsignal(number) == handler:  # else the job that forks has another one
            signal.signal(number, signal.SIG_DFL)
        unblock()

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=forget)
