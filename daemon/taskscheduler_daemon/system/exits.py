"""The exit codes of our processes, and how a child ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass

#: signals by which people and service managers ask a process to end
REQUESTS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})

EXIT_OK = 0

EXIT_CRASHED = 70  #: a process of ours ended by an unexpected exception

EXIT_BOOT = 71  #: a worker or the manager could not be built


@dataclass(frozen=True, slots=True)
class ChildExit:
    """How a child ended: exit code or signal, its peak memory, and its CPU time with that of what it has waited for."""

    pid: int
    code: int | None  #: None if a signal ended it
    signal: int | None  #: None if it exited
    peak_kib: int  #: its largest resident memory
    cpu: float = 0.0  #: seconds

    @property
    def was_requested(self) -> bool:
        """Whether a signal ended it by which somebody asks a process to end."""
        return self.signal in REQUESTS

    def __str__(self) -> str:
        if self.signal is None:
            return f"exited with code {self.code}"
        try:
            name = signal.Signals(self.signal).name
        except ValueError:
            name = "unknown"
        return f"was killed by signal {self.signal} ({name})"
