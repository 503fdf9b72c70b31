"""Registers this process as a user of a server: one shared lock per state directory, however many parts use it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from taskscheduler.embedded.locks import FileLock, StartTimeout
from taskscheduler.embedded.state_dir import StateDir


class ServerUser:
    """This process as a user of one server, at most until the process ends."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self._path = path
        self._lock = lock
        self._parts = 1
        self._pid = os.getpid()

    def join(self) -> None:
        """Counts one more part of this process; call it only while `_mutex` is held."""
        self._parts += 1

    def release(self) -> None:
        """Counts one part less; the last one releases the lock."""
        if os.getpid() != self._pid:
            return  # a forked child: the lock belongs to its parent
        with _mutex:
            self._parts -= 1
            if self._parts == 0:
                del _users[self._path]
                # Closed, not unlocked: forked children that still use the server share this lock.
                self._lock.close()


_mutex = threading.Lock()

_users: dict[Path, ServerUser] = {}


def join_users(state: StateDir, timeout: StartTimeout) -> ServerUser:
    """Makes this process a user of the server of `state`; waits while that server is being stopped.

    Raises EmbeddedServerError when the time is over first.
    """
    while True:
        with _mutex:
            user = _join_or_lock(state)
        if user is not None:
            return user
        timeout.pause()


def _join_or_lock(state: StateDir) -> ServerUser | None:
    path = state.users_lock
    if user := _users.get(path):
        user.join()
        return user
    lock = FileLock(path)
    if not lock.try_shared():
        lock.close()
        return None
    _users[path] = ServerUser(path, lock)
    return _users[path]


def _forget_users() -> None:
    # A fork copies the mutex as it is, perhaps held by a thread that the child does not have. The locks belong to the
    # parent, and the child may have closed their descriptors; a server that it uses itself it locks anew.
    global _mutex
    _mutex = threading.Lock()
    _users.clear()


os.register_at_fork(after_in_child=_forget_users)
