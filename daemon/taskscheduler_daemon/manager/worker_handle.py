"""What a manager holds of one worker besides its bookkeeping: both ends of its socket, and the page they share."""

from __future__ import annotations

import socket

from taskscheduler_daemon.ipc import packets
from taskscheduler_daemon.ipc.messages import Kind, Run, kind_of
from taskscheduler_daemon.ipc.shared_page import SharedPage


class WorkerHandle:
    """Made before the fork; the worker keeps `inbox`, the manager both, to take back what is not read yet."""

    def __init__(self) -> None:
        self.manager_end, self.worker_end = packets.pair()
        self.manager_end.setblocking(False)
        self.page = SharedPage()
        self.reports_progress = False  #: whether the running job has reported progress
        self._seen = 0  #: version of the last note read from the slot

    def assign(self, run: Run) -> bool:
        """Hand a run to the worker; whether its socket had room."""
        return packets.send(self.manager_end, run.encode())

    def send(self, message: bytes) -> None:
        """Send anything else; a worker that does not read is killed sooner or later."""
        packets.send(self.manager_end, message)

    def recall(self) -> list[Run]:
        """What the worker was given and has not taken: the kernel gives each packet to exactly one of us."""
        runs = []
        while (packet := packets.receive_nowait(self.worker_end)) is not None:
            if kind_of(packet) == Kind.RUN:
                runs.append(Run.decode(packet))
        return runs

    def release(self) -> None:
        """Give nothing more; the worker ends when it has read what is there."""
        try:
            self.manager_end.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone already

    def unread_progress(self) -> bytes | None:
        """The sign of life that the job has left since the last look, if there is one."""
        note = self.page.read(self._seen) if self.reports_progress else None
        if note is None:
            return None
        self._seen, content = note
        return content

    def close(self) -> None:
        self.manager_end.close()
        self.worker_end.close()
        self.page.close()
