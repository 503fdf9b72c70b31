"""Asks workers where their jobs are, first in a way that harms nothing, then in one that always answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from taskscheduler.clock import NEVER
from taskscheduler.model.attempts.stack import stored_thread
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.node_proxy import NodeProxy
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.worker_handle import WorkerHandle
from taskscheduler_daemon.system.kill import kill
from taskscheduler_daemon.system.stack_dump import ASK, INSIST, Dump, handles

_LOOK_EVERY = 0.02  #: seconds, while somebody waits

_PATIENCE = 0.5  #: seconds that Python has to answer

_LONGEST = 5.0  #: seconds

_SILENT = "its worker does not answer: the job has blocked or replaced the signals for that"


class Asking(NamedTuple):
    """A question about one job."""

    question: bytes
    job_id: bytes


@dataclass(slots=True)
class StackRequest:
    """What a worker was asked, by one or several."""

    handle: WorkerHandle
    sent_at: float
    askers: list[Asking] = field(default_factory=list)
    insisted: bool = False
    size: int = 0  #: bytes that it had said at the last look


class StackRequests:
    """Follows the requests until they are answered."""

    def __init__(self, pool: Pool, assigner: Assigner, node: NodeProxy) -> None:
        self.look_at = NEVER  #: when to look for answers again
        self._pool = pool
        self._handles = assigner.handles
        self._node = node
        self._requests: dict[int, StackRequest] = {}  #: by pid

    def ask(self, job_id: bytes, attempt: int, question: bytes, now: float) -> None:
        """Asks the worker that runs a job."""
        worker = self._pool.holder(job_id)
        if worker is None or not worker.holds(job_id, attempt):
            self._answer(question, {"error": "it has not begun, or has just ended: no worker runs it"})
            return
        handle = self._handles[worker.pid]
        if worker.pid not in self._requests:
            self._requests[worker.pid] = StackRequest(handle, now)
            handle.page.stacks.clear()
            _send(worker.pid, ASK)
        self._requests[worker.pid].askers.append(Asking(question, job_id))
        self.look_at = min(self.look_at, now + _LOOK_EVERY)

    def look(self, now: float) -> None:
        """Looks for answers."""
        for pid, request in list(self._requests.items()):
            if self._handles.get(pid) is not request.handle:
                self._fail(pid, "its worker has just ended")
            elif (dump := request.handle.page.stacks.read()) is not None:
                self._pass_on(pid, dump)
            elif request.insisted:
                self._look_closer(pid, request, now)
            elif now >= request.sent_at + _PATIENCE:
                request.insisted = True
                _send(pid, INSIST)
        self.look_at = now + _LOOK_EVERY if self._requests else NEVER

    def _look_closer(self, pid: int, request: StackRequest, now: float) -> None:
        """Takes what the second signal has brought once nothing more comes: it says nothing about its end."""
        size, before = request.handle.page.stacks.size(), request.size
        request.size = size
        dump = request.handle.page.stacks.read_frozen() if size and size == before else None
        if dump is not None:
            self._pass_on(pid, dump)
        elif now >= request.sent_at + _LONGEST:
            self._fail(pid, _SILENT)

    def _pass_on(self, pid: int, dump: Dump) -> None:
        threads = [stored_thread(thread) for thread in dump.threads]
        for question, job_id in self._requests.pop(pid).askers:
            task = dump.tasks.get(job_id.hex())
            stored = None if task is None else stored_thread(task._replace(name="task"))
            self._answer(question, {"pid": pid, "frozen": dump.frozen, "threads": threads, "task": stored})

    def _fail(self, pid: int, why: str) -> None:
        for question, _ in self._requests.pop(pid).askers:
            self._answer(question, {"error": why})

    def _answer(self, question: bytes, content: dict[str, Any]) -> None:
        self._node.push(messages.stack_of(question, content))


def _send(pid: int, number: int) -> None:
    """Sends a signal, unless the job has taken away its handler: then it would end the worker."""
    if number and handles(pid, number):
        kill(pid, number)
