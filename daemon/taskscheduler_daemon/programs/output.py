"""The output of a command: passed on to our own, its last bytes kept."""

from __future__ import annotations

import os
import select

LONGEST_TAIL = 64 * 1024  #: bytes of output that are stored


class OutputTail:
    """Keeps the last bytes of an output."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept = bytearray()
        self.total = 0  #: bytes of the whole output

    def add(self, data: bytes) -> None:
        """Appends output; drops what is further from its end than the limit."""
        self.total += len(data)
        self._kept += data
        del self._kept[: -self._most]

    def text(self) -> str:
        """Returns what is kept; bytes that are no UTF-8 are replaced."""
        return self._kept.decode(errors="replace")


def write_all(descriptor: int, data: bytes) -> bool:
    """Writes all data, waiting for a slow reader; False if there is no reader any more.

    Any other error drops the data: the command goes on.
    """
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
        except BrokenPipeError:
            return False
        except OSError:
            break
    return True
