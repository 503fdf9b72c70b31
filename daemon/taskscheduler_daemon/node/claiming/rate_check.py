"""RateCheck: counts the starts of claimed jobs that are under a rate, and hands back those that come too early."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from taskscheduler.model.control.controls import Controls
from taskscheduler.model.control.keys import LIMIT, RATE, key, keys_of, kind_and_name
from taskscheduler.store import Store
from taskscheduler.store.control.admission import Refused
from taskscheduler_daemon.node.state.controls import ControlView
from taskscheduler_daemon.node.state.in_flight import Attempt


class Watch(Protocol):
    """Looks for the time at which a rate allows the next start."""

    def look_soon(self) -> None:
        """Looks soon."""
        ...


class RateCheck:
    """Lets as many attempts through as the rates of their jobs allow now. Costs nothing while no rate is set."""

    def __init__(self, store: Store, view: ControlView, watch: Watch) -> None:
        self._store = store
        self._view = view
        self._watch = watch

    def permitted(self, attempts: list[Attempt]) -> list[Attempt]:
        """Returns the attempts that may start now; the others are parked. Raises StoreError."""
        controls = self._view.controls
        if not any(limit.rate for limit in controls.limits):
            return attempts
        wanted = Counter(name for attempt in attempts for name in _rates(attempt, controls))
        left = {name: self._take(controls, name, count) for name, count in wanted.items()}
        permitted, refused = list[Attempt](), list[Refused]()
        for attempt in attempts:
            names = _rates(attempt, controls)
            dry = next((name for name in names if left[name] < 1), None)
            if dry is None:
                permitted.append(attempt)
                left |= {name: left[name] - 1 for name in names}
            else:
                refused.append(Refused(attempt.fence, attempt.job, key(RATE, dry)))
        if refused:
            self._give_back(controls, left, refused)
        return permitted

    def _take(self, controls: Controls, name: str, count: int) -> int:
        limit = controls.limit_of(name)
        return count if limit is None else self._store.rates.take(name, limit, count).starts

    def _give_back(self, controls: Controls, left: Mapping[str, int], refused: list[Refused]) -> None:
        """Parks the jobs that came too early, and gives back what only they had taken."""
        early = Counter(kind_and_name(one.key)[1] for one in refused)
        for name, starts in left.items():
            if (limit := controls.limit_of(name)) is None:
                continue
            if starts:
                self._store.rates.give_back(name, limit, starts)
            if early[name]:
                self._store.rates.not_begun(name, limit, early[name])
        self._store.admission.defer(refused)
        self._watch.look_soon()


def _rates(attempt: Attempt, controls: Controls) -> list[str]:
    """Returns the names of the rates that a job is under."""
    if not attempt.exclusive or "limits" not in attempt.job:
        return []
    names = [name for kind, name in map(kind_and_name, keys_of(attempt.job)) if kind == LIMIT]
    return [name for name in names if (limit := controls.limit_of(name)) is not None and limit.rate]
