"""What makes this process a user of a server: one shared lock per state directory, however many parts want it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from taskscheduler.embedded.locks import FileLock, StartTimeout
from taskscheduler.embedded.state_dir import StateDir


class ServerUser:
    """This process's use of one server; ends with the process at the latest."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self._path = path
        self._lock = lock
        self._parts = 1
        self._pid = os.getpid()

    def join(self) -> None:
        """One more part of this process uses the server; only while `_mutex` is held."""
        self._parts += 1

    def release(self) -> None:
        """One part less; the last one gives up the lock."""
        if os.getpid() != self._pid:
            return  # a forked child: the lock is its parent's
        with _mutex:
            self._parts -= 1
            if self._parts == 0:
                del _usages[self._path]
                # Closed, not unlocked: forked children that still use the server share this lock.
                self._lock.close()


_mutex = threading.Lock()

_usages: dict[Path, ServerUser] = {}


def use(state: StateDir, deadline: StartTimeout) -> ServerUser:
    """Become a user of the server of `state`, waiting while one is being shut down.

    Raises EmbeddedServerError when the shutdown outlasts the deadline.
    """
    while True:
        with _mutex:
            usage = _join_or_lock(state)
        if usage is not None:
            return usage
        deadline.pause()


def _join_or_lock(state: StateDir) -> ServerUser | None:
    path = state.users_lock
    if usage := _usages.get(path):
        usage.join()
        return usage
    lock = FileLock(path)
    if not lock.try_shared():
        lock.close()
        return None
    _usages[path] = ServerUser(path, lock)
    return _usages[path]


def _begin_anew() -> None:
    # A fork copies the mutex as it is, perhaps held by a thread that the child does not have. The locks are the
    # parent's, and the child may have closed their descriptors: what it uses itself it locks for itself.
    global _mutex
    _mutex = threading.Lock()
    _usages.clear()


os.register_at_fork(after_in_child=_begin_anew)
