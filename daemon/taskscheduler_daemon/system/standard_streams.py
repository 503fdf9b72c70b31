"""The descriptors 0, 1 and 2: always open, and without input in the processes that run jobs."""

from __future__ import annotations

import os
import sys
from fcntl import F_GETFL, F_SETFL, fcntl

DESCRIPTORS = (0, 1, 2)

_ERROR = 2  #: the highest of the three

#: flags that change nothing for /dev/null and for pipes. No other file is opened with these as one of the descriptors
_MARKS = {
    0: os.O_APPEND | os.O_SYNC,
    1: getattr(os, "O_NOATIME", 0),
    2: getattr(os, "O_NOATIME", 0) | os.O_APPEND,
}

_marked: dict[int, int] = {}  #: all flags of each descriptor that was marked


def mark(descriptor: int) -> None:
    """Marks a file of our own on a standard descriptor, so that its flags tell it from what a job puts in its place.

    They are read in a fifth of the time that device and inode take. Without Linux nothing is marked.
    """
    if sys.platform != "linux":
        return
    try:
        flags = fcntl(descriptor, F_GETFL) | _MARKS[descriptor]
        fcntl(descriptor, F_SETFL, flags)
    except OSError:
        return  # this process has given up the user that owns the pipe
    _marked[descriptor] = flags


def is_marked(descriptor: int) -> bool:
    """Tells whether the flags of a descriptor are those of the file that was marked on it."""
    try:
        return _marked.get(descriptor) == fcntl(descriptor, F_GETFL)
    except OSError:
        return False  # it is closed


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
    null = os.open(os.devnull, os.O_RDONLY | _MARKS[0])
    if null == 0:
        os.set_inheritable(null, True)
    else:
        os.dup2(null, 0)
        os.close(null)
    mark(0)
    sys.stdin = os.fdopen(0, closefd=False)
