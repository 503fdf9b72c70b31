"""Notes when the whole machine stood still: what was tried then proves nothing, since every time limit has passed."""

from __future__ import annotations

import threading
import time
from types import TracebackType

_TICK = 0.2  #: seconds
_TOO_LONG = 3.0


class Standstills:
    """A thread that ticks; as a context manager it stops at the end."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._last = float("-inf")  #: the end of the last standstill
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Standstills:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def since(self, moment: float) -> bool:
        """Whether there was one after this monotonic time."""
        self._stopped.wait(2 * _TICK)  # it may have ended just now
        return self._last > moment

    def _tick(self) -> None:
        before = time.monotonic()
        while not self._stopped.wait(_TICK):
            now = time.monotonic()
            if now - before > _TOO_LONG:
                self._last = now
            before = now
