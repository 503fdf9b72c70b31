"""Keeps the sums of series of past hours, so that a page that is read again adds up only what is new.

Whatever is added to a document is added to its total, too. So the totals, which are a fraction of the series, tell
whether a sum is still right, also if a node stores a portion late or the hours of a day are folded.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping

from taskscheduler.model.metrics.counts import Series
from taskscheduler.model.metrics.sums import StoredSum

Sums = Mapping[Series, StoredSum]

_MOST_KEPT = 16  #: sums; one of 200 series takes less than a MB


class KeptSums:
    """The sums that were asked for last. Safe to use from many threads; a sum that is kept must not be changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[bytes, Sums]] = OrderedDict()

    def get(self, key: Hashable, totals: bytes) -> Sums | None:
        """Returns the sums that were kept under a key; None if there are none, or they are of other totals."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            known, sums = self._kept[key]
        return sums if known == totals else None

    def put(self, key: Hashable, totals: bytes, sums: Sums) -> None:
        """Keeps sums in place of those that were not asked for the longest."""
        with self._lock:
            self._kept[key] = totals, sums
            self._kept.move_to_end(key)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
