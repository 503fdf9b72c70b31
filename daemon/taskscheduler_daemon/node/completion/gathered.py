"""What the completer takes out of its queue for one round: ends, quick ends, signs of life, and who waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import QuickEnd
from taskscheduler.store.completions import Sign

#: quick ends come many at a time; None: there is nothing more
Entry = Completion | list[QuickEnd] | Sign | threading.Event | None


class Gathered:
    """The entries of one round, sorted."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.ends: list[Completion] = []
        self.quick: list[QuickEnd] = []
        self.signs: list[Sign] = []
        self.barriers: list[threading.Event] = []
        self.is_last = False
        self.count = 0  #: of all entries, each quick end by itself
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Adds an entry."""
        self.count += len(entry) if isinstance(entry, list) else 1
        if isinstance(entry, list):
            self.quick += entry
        elif isinstance(entry, Completion):
            self.ends.append(entry)
        elif isinstance(entry, Sign):
            self.signs.append(entry)
        elif entry is None:
            self.is_last = True
        else:
            self.barriers.append(entry)

    @property
    def has_ends(self) -> bool:
        """Whether there is an end to be written."""
        return bool(self.ends or self.quick)
