"""A worker's socket and shared page, as its manager uses them."""

from __future__ import annotations

import socket

from taskscheduler.clock import NEVER
from taskscheduler_daemon.ipc import packets
from taskscheduler_daemon.ipc.begun_page import BegunRow
from taskscheduler_daemon.ipc.messages import NOT_BEGUN, Kind, Run, kind_of
from taskscheduler_daemon.ipc.shared_page import SharedPage
from taskscheduler_daemon.system.private_descriptors import keep_private


class WorkerHandle:
    """Created before the fork. The manager keeps both ends so that it can recall runs the worker has not read."""

    def __init__(self, row: BegunRow | None = None) -> None:
        self.manager_end, self.worker_end = packets.pair()
        self.manager_end.setblocking(False)
        keep_private(self.manager_end.fileno(), self.worker_end.fileno())
        self.page = SharedPage(row)
        keep_private(self.page.stacks.fileno())
        self.progress_limit = 0.0  #: seconds between two looks at the progress in its page
        self.reports_progress = False  #: whether the running job has reported progress
        self.began = NOT_BEGUN  #: when that job began, as it says
        self.read_page_at = NEVER  #: when to read its page next
        self._seen = 0  #: version of the last note read from the page

    def assign(self, run: Run) -> bool:
        """Sends a run to the worker; False if its socket is full."""
        return packets.send(self.manager_end, run.encode())

    def send(self, message: bytes) -> None:
        """Sends any other message; it is lost if the worker does not read, which is killed sooner or later."""
        packets.send(self.manager_end, message)

    def recall(self) -> list[Run]:
        """Takes back the runs that the worker has not read: the kernel gives each packet to exactly one of us."""
        runs = []
        while (packet := packets.receive_nowait(self.worker_end)) is not None:
            if kind_of(packet) == Kind.RUN:
                runs.append(Run.decode(packet))
        return runs

    def release(self) -> None:
        """Closes the socket for runs: the worker ends when it has read what is there."""
        try:
            self.manager_end.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone already

    def unread_progress(self) -> bytes | None:
        """Returns the progress that the job has left in the page since the last call; None if there is none."""
        note = self.page.read(self._seen) if self.reports_progress else None
        if note is None:
            return None
        self._seen, content = note
        return content

    def close(self) -> None:
        """Closes both ends of the socket and the page."""
        self.manager_end.close()
        self.worker_end.close()
        self.page.close()
