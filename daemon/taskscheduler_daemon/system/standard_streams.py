"""The descriptors 0, 1 and 2: always open, and without input in the processes that run jobs."""

from __future__ import annotations

import os
import sys

_ERROR = 2  #: the highest of the three


def open_standard_streams() -> None:
    """Opens /dev/null in place of the standard streams that are closed, so that nothing else gets their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _ERROR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def flush_standard_streams() -> None:
    """Writes out what standard output and error have buffered, as far as they are open and take it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass


def read_nothing() -> None:
    """Puts /dev/null in place of standard input: whoever reads it finds its end, and does not wait.

    Does nothing if this program was started without standard input: its number may belong to something else.
    """
    if sys.__stdin__ is None:
        return
    null = os.open(os.devnull, os.O_RDONLY)
    if null == 0:
        os.set_inheritable(null, True)
    else:
        os.dup2(null, 0)
        os.close(null)
    sys.stdin = os.fdopen(0, closefd=False)
