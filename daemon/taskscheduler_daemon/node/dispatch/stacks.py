"""StackQuestions: answers where a job of this node is, as its worker says."""

from __future__ import annotations

import linecache
import logging
import os
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import taskscheduler
from taskscheduler.model.attempts.stack import StackFrame, StackThread, read_thread, stored_thread
from taskscheduler.model.control.questions import Question
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.in_flight import InFlight
from taskscheduler_daemon.system.threads import SessionThreads

logger = logging.getLogger(__name__)

_REMEMBERED = 1000  #: questions

_LARGEST_SOURCE = 4 * 1024 * 1024  #: bytes of a file of which lines are shown

_OURS = (str(Path(taskscheduler.__file__).parent), str(Path(__file__).parents[2]))

_ENTRY = ("worker.py", "process_all")  #: what a worker has in common with its manager and node stands above


class StackQuestions:
    """Passes questions on to the manager, and writes its answers. Costs nothing while nobody asks."""

    def __init__(
        self, store: Store, node: NodeIdentity, in_flight: InFlight, manager: ManagerProxy, threads: SessionThreads
    ) -> None:
        self._store = store
        self._node = node
        self._in_flight = in_flight
        self._manager = manager
        self._threads = threads
        self._asked: OrderedDict[bytes, Question] = OrderedDict()

    def asked(self, questions: Iterable[Question]) -> None:
        """Takes the questions to this node that are new. Called from the thread that reads the settings."""
        for question in questions:
            if question.boot != self._node.boot or question.id.binary in self._asked:
                continue
            self._asked[question.id.binary] = question
            if len(self._asked) > _REMEMBERED:
                self._asked.popitem(last=False)
            self._pass_on(question)

    def _pass_on(self, question: Question) -> None:
        attempt = self._in_flight.get(question.job.binary)
        if attempt is None or attempt.fence.attempt != question.attempt:
            self._answer(question, {"error": "it has ended meanwhile"})
        elif attempt.kept or (attempt.gathers and attempt.batch is None):
            self._answer(question, {"error": "it has not begun: it waits for others, or for a worker of its own"})
        else:
            in_batch = attempt.batch is not None and attempt.batch.id.binary in self._in_flight.batches
            key = attempt.batch.key if in_batch and attempt.batch is not None else None
            self._manager.stack(*(key or (question.job.binary, question.attempt)), question.id.binary)

    def answered(self, message: bytes) -> None:
        """Writes an answer of the manager, in a thread: the loop must not wait for the database, or for files."""
        question_id, content = messages.stack_in(message)
        question = self._asked.get(question_id)
        if question is not None:
            self._threads.start("stack", lambda: self._answer(question, content))

    def _answer(self, question: Question, content: dict[str, Any]) -> None:
        if "error" not in content:
            content = {**content, "node": self._node.name, "host": os.uname().nodename}
            content["threads"] = [_shown(one) for one in content.get("threads") or []]
            content["task"] = None if content.get("task") is None else _shown(content["task"])
        try:
            self._store.questions.answer(question, content)
        except StoreError as error:
            logger.info("stack of a job not written", extra={"reason": str(error)[:200]})


def _shown(stored: Any) -> dict[str, Any]:
    """Returns a thread without the frames of the scheduler above the job, and with the lines of the source."""
    thread = read_thread(stored) or StackThread("", ())
    frames = of_job(thread.frames)
    shown = StackThread(thread.name, tuple(frame._replace(code=_line(frame)) for frame in frames))
    linecache.clearcache()
    return stored_thread(shown)


def of_job(frames: tuple[StackFrame, ...]) -> tuple[StackFrame, ...]:
    """Returns the frames from the first one of the job on; all if none is."""
    entries = [place for place, frame in enumerate(frames) if _is_entry(frame)]
    below = frames[entries[-1] + 1 :] if entries else frames
    first = next((place for place, frame in enumerate(below) if not frame.file.startswith(_OURS)), 0)
    return below[first:] or frames


def _is_entry(frame: StackFrame) -> bool:
    return (os.path.basename(frame.file), frame.function.rpartition(".")[2]) == _ENTRY


def _line(frame: StackFrame) -> str:
    """Returns a line of the source, of a plain file that is not huge."""
    try:
        if frame.line and os.path.isfile(frame.file) and os.stat(frame.file).st_size <= _LARGEST_SOURCE:
            return linecache.getline(frame.file, frame.line).strip()
    except (OSError, ValueError):
        pass
    return ""
