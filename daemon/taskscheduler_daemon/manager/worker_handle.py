"""What a manager holds of one worker besides its bookkeeping: both ends of its socket, and the page they share."""

from __future__ import annotations

import socket

from taskscheduler_daemon.ipc import packets as wire
from taskscheduler_daemon.ipc.messages import Kind, Run, kind_of
from taskscheduler_daemon.ipc.shared_page import Slot


class Hands:
    """Made before the fork; the worker keeps `inbox`, the manager both, to take back what is not read yet."""

    def __init__(self) -> None:
        self.end, self.inbox = wire.pair()
        self.end.setblocking(False)
        self.slot = Slot()
        self.talks = False  #: whether the running job has reported progress
        self._seen = 0  #: version of the last note read from the slot

    def give(self, run: Run) -> bool:
        """Hand a run to the worker; whether its socket had room."""
        return wire.send(self.end, run.encode())

    def tell(self, message: bytes) -> None:
        """Send anything else; a worker that does not read is killed sooner or later."""
        wire.send(self.end, message)

    def take_back(self) -> list[Run]:
        """What the worker was given and has not taken: the kernel gives each packet to exactly one of us."""
        runs = []
        while (packet := wire.steal(self.inbox)) is not None:
            if kind_of(packet) == Kind.RUN:
                runs.append(Run.decode(packet))
        return runs

    def let_go(self) -> None:
        """Give nothing more; the worker ends when it has read what is there."""
        try:
            self.end.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone already

    def news(self) -> bytes | None:
        """The sign of life that the job has left since the last look, if there is one."""
        note = self.slot.read(self._seen) if self.talks else None
        if note is None:
            return None
        self._seen, content = note
        return content

    def close(self) -> None:
        self.end.close()
        self.inbox.close()
        self.slot.close()
