"""The files that standard output and error go to: opened again by their names after they were renamed."""

from __future__ import annotations

import logging
import os
import stat
import sys

logger = logging.getLogger(__name__)

_STREAMS = (1, 2)

#: the files by descriptor; forks inherit them, whatever the files are called by then
_names: dict[int, str] = {}


def remember_log_files() -> bool:
    """Notes which files standard output and error go to, before anybody renames them; returns whether there are any."""
    for stream in _STREAMS:
        try:
            if stat.S_ISREG(os.fstat(stream).st_mode):
                _names[stream] = os.readlink(f"/proc/self/fd/{stream}")
        except OSError:
            continue  # it is closed, or there is no /proc
    return bool(_names)


def reopen_log_files() -> None:
    """Opens those files again that are not what their name stands for any more, as after a rotation.

    Where that is impossible, the output still goes to the old file.
    """
    for stream, name in _names.items():
        try:
            _reopen(stream, name)
        except OSError as error:
            logger.warning("the log file cannot be opened again", extra={"file": name, "reason": str(error)})


def _reopen(stream: int, name: str) -> None:
    now = os.fstat(stream)
    if _is_same(name, now):
        return
    for text in filter(None, (sys.stdout, sys.stderr)):
        text.flush()
    # not where a link leads: in a folder of others that could be any file
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    opened = os.open(name, flags, stat.S_IMODE(now.st_mode))
    os.dup2(opened, stream)
    os.close(opened)


def _is_same(name: str, now: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(name), now)
    except FileNotFoundError:
        return False
