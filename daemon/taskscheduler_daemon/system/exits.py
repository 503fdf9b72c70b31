"""How processes end: the exit codes of ours, and what is known of a child that has ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass

EXIT_OK = 0

EXIT_CRASHED = 70  #: a process of ours ended by an exception that nobody expected

EXIT_BOOT = 71  #: a worker or the manager could not be built


@dataclass(frozen=True, slots=True)
class ChildExit:
    """How a child ended."""

    pid: int
    code: int | None  #: exit code, None if a signal ended it
    signal: int | None
    peak_kib: int  #: its largest resident memory

    def __str__(self) -> str:
        if self.signal is None:
            return f"exited with code {self.code}"
        try:
            name = signal.Signals(self.signal).name
        except ValueError:
            name = "unknown"
        return f"was killed by signal {self.signal} ({name})"
