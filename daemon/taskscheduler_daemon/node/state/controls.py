"""ControlView: what people have set for the whole cluster, as this node knows it."""

from __future__ import annotations

from taskscheduler.model.control.controls import Controls
from taskscheduler.store import Store


class ControlView:
    """Holds the settings that were read last. Safe to use from many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.controls = Controls()  #: replaced as a whole: who has taken it sees no change

    def refresh(self) -> bool:
        """Reads the settings; returns whether they have changed. Raises StoreError."""
        before, self.controls = self.controls, self._store.controls.load()
        return self.controls != before
