"""Ends the forks that a job makes: they exit as any Python program does, and never return into a worker."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

_FAILED = 1


def leave_fork(owner: int, error: BaseException | None = None) -> None:
    """Exits if this process is not `owner`: with the code of SystemExit, 1 after another exception, else 0.

    The message or traceback of `error` is printed to stderr.
    """
    if os.getpid() != owner:
        _leave(error)


def _leave(error: BaseException | None) -> NoReturn:
    code = _FAILED
    try:
        code = _code(error)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:  # a stream that is closed, an exception without a text: the code counts
        pass
    os._exit(code)


def _code(error: BaseException | None) -> int:
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return _FAILED
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return _FAILED
