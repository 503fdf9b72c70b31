"""Files that are looked at now and then, to see whether one has changed."""

from __future__ import annotations

import os
from collections.abc import Iterable

State = tuple[int, int] | None  #: when a file was changed, and its size; None if it is missing


class WatchedFiles:
    """Files, and how each was when it was last read by somebody."""

    def __init__(self) -> None:
        self._read: dict[str, State] = {}

    def about_to_read(self) -> None:
        """Notes how the files are now. A change from here on counts, even if it comes before they are read."""
        self._read = {file: _state(file) for file in self._read}

    def add(self, files: Iterable[str]) -> None:
        """Watches these files, too."""
        for file in files:
            self._read.setdefault(file, _state(file))

    def changed(self) -> list[str]:
        """Returns the files that are no more as they were read, sorted."""
        return sorted(file for file, state in self._read.items() if _state(file) != state)

    def now(self) -> dict[str, State]:
        """Returns how the files are, to be compared."""
        return {file: _state(file) for file in self._read}


def _state(file: str) -> State:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
