"""LeakedClaims: attempts that are ours in the database only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable

from taskscheduler.store.fence import Fence


class LeakedClaims:
    """Two looks decide, between which every end that was known at the first one has been written."""

    def __init__(self, claiming: Callable[[], Collection[str]], mark: Callable[[], threading.Event]) -> None:
        """`claiming` tells the claims that are under way, `mark` gives an event for the ends that wait now."""
        self._claiming = claiming
        self._mark = mark
        self._written = threading.Event()
        self._written.set()
        self._seen: set[Fence] = set()

    def look(self, known: Callable[[], Collection[Fence]], held: Callable[[], Iterable[Fence]]) -> set[Fence]:
        """Those of the attempts `held` in the database that are to be given back; `known` are the node's own."""
        if not self._written.is_set():
            return set()
        claiming = set(self._claiming())  # first: what is not under way any more is known by now
        ours = set(known())
        seen = {fence for fence in held() if fence not in ours and fence.claim not in claiming}
        again, self._seen = seen & self._seen, seen
        self._written = self._mark()
        return again
