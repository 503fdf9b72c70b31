"""Descriptors that belong to one of our processes alone. Its forks close them, and leave all others to their owners."""

from __future__ import annotations

import os

#: device and inode of each, as its number may be given to something else once it is closed
_private: dict[int, tuple[int, int]] = {}


def keep_private(*descriptors: int) -> None:
    """Notes descriptors that are of no use in the forks of this process."""
    for descriptor in descriptors:
        _private[descriptor] = _identity(descriptor)


def close_private(keep: set[int]) -> None:
    """Closes, in a fork, the private descriptors of its parent process, except those in `keep`.

    No other is closed: its owner, such as a log file, would go on to use the number, and with it whatever gets it next.
    """
    for descriptor in _private.keys() - keep:
        identity = _private.pop(descriptor)
        try:
            if _identity(descriptor) == identity:
                os.close(descriptor)
        except OSError:
            pass  # it was closed


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino
