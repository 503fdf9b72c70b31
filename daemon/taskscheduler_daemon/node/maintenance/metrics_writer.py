"""MetricsWriter: stores what this node has counted, every 10 seconds if it has counted anything."""

from __future__ import annotations

import logging
import random
from datetime import datetime

from taskscheduler.model.metrics.counts import Series
from taskscheduler.model.metrics.steps import HOUR
from taskscheduler.model.metrics.tally import Portion
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError, brief, is_not_allowed, is_refusal
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.node.state.meter import Meter

logger = logging.getLogger(__name__)

_EVERY = 8.0, 10.0  #: seconds; nodes do not march in step

_MOST_AT_THE_END = 3  #: portions that a node that stops stores: of this minute, and of those before that were delayed


class MetricsWriter(Duty):
    """Adds portions to the minutes and hours of the cluster, in their order, each until that is known to be done.

    A node that is killed loses what it has counted since: the history is short of it, and nothing else is. A node that
    counts also folds past days; an idle one asks the database nothing.
    """

    def __init__(self, store: Store, node: NodeIdentity, meter: Meter, lease: Lease) -> None:
        super().__init__(lease)
        self._store = store
        self._boot = node.boot
        self._meter = meter
        self._portion: Portion | None = None  #: being stored
        self._is_forbidden = False
        self._hour: datetime | None = None
        self._known: set[Series] = set()  #: the series that are told apart in this hour
        self._looked: datetime | None = None  #: the last hour in which there was no day to fold

    @property
    def interval(self) -> float:
        """Seconds until the next run."""
        return random.uniform(*_EVERY)

    def run(self) -> None:
        """Stores the oldest portion, if there is one. Raises StoreError; then the next run repeats it."""
        if self._store_next():
            self._fold()

    def run_last(self) -> None:
        """Stores what is left, as this node stops; gives up at once if the database does not answer."""
        try:
            for _ in range(_MOST_AT_THE_END):
                self._store_next()
        except StoreError as error:
            logger.info("what was counted last is not stored", extra={"reason": brief(error)})

    def _store_next(self) -> bool:
        if self._portion is None:
            self._portion = self._meter.take()
        if self._portion is None:
            return False
        self._store_portion(self._portion)
        self._portion = None
        return True

    def _store_portion(self, portion: Portion) -> None:
        if self._is_forbidden:
            return
        try:
            self._fit(portion)
            self._store.metrics.add(self._boot, portion)
        except StoreError as error:
            if is_not_allowed(error):
                self._give_up(error)
                return
            if not is_refusal(error):
                raise
            # somebody has changed the document: the history is short of this, and goes on
            logger.warning("what was counted is not stored: its document is odd", extra={"reason": brief(error)})

    def _fold(self) -> None:
        """Folds a past day, if there is one; looks again in the next hour, or as long as there are more."""
        hour = HOUR.begins(self._store.clock.now())
        if self._is_forbidden or self._looked == hour:
            return
        try:
            if self._store.metrics.fold_a_day(hour):
                return
        except StoreError as error:
            if not is_refusal(error):
                raise
            logger.warning("a past day of the history is not folded", extra={"reason": brief(error)})
        self._looked = hour

    def _give_up(self, error: StoreError) -> None:
        """Stores nothing any more; what is counted from now on is taken and forgotten."""
        if not self._is_forbidden:
            text = "metrics are not stored: this user needs insert, update and listIndexes on taskscheduler.metrics"
            logger.warning(text, extra={"reason": brief(error)})
        self._is_forbidden = True

    def _fit(self, portion: Portion) -> None:
        """Asks the database for room for series that are new in this hour, as other nodes take room, too."""
        if portion.hour != self._hour or not portion.series.keys() <= self._known:
            room = self._store.metrics.room(portion.hour)
            portion.fit(room)
            self._hour, self._known = portion.hour, room.series
