"""The processes that a job leaves running: killed, with all that they have started."""

from __future__ import annotations

import os
import select

from taskscheduler.embedded.launcher import is_keeper
from taskscheduler_daemon.system.kill import kill
from taskscheduler_daemon.system.procfs import children, descendants

_ROUNDS = 20  #: of looking for children: what is killed leaves its own children to this process

_DIES_WITHIN = 1000  #: milliseconds


class LeftoverProcesses:
    """Ends the children that this process gets from now on.

    Orphans of children are among them, in whatever group or session, if this process adopts them. The keeper of an
    embedded server is left alone.
    """

    def __init__(self) -> None:
        self._known = set(children(os.getpid()))

    def end(self) -> bool:
        """Kills and reaps all of them; False if some are left."""
        if not self._known:
            try:
                os.waitpid(-1, os.WNOHANG)  # one call of the system after each job; it may reap a child that is dead
            except ChildProcessError:
                return True
        return self._end_strangers()

    def _end_strangers(self) -> bool:
        for _ in range(_ROUNDS):
            found = self._strangers()
            if not found:
                return True
            for pid in found:
                for below in [*descendants(pid), pid]:
                    kill(below)
            if not all(_reaped(pid) for pid in found):
                return False
        return False

    def _strangers(self) -> list[int]:
        return [pid for pid in children(os.getpid()) if pid not in self._known and not is_keeper(pid)]


def _reaped(pid: int) -> bool:
    """Waits for a child that was killed; False if it does not end, as in a call to a disk that does not answer."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return True  # it was reaped elsewhere
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(_DIES_WITHIN):
            return False
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    finally:
        os.close(descriptor)
    return True
