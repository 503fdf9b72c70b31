"""OutputReader: the thread that reads the output pipes of the workers.

It reads what has gathered within a hundredth of a second at once, so a job that prints faster waits. While the node
has taken all that it can and the database takes nothing, those that print the most wait, and the others go on.
"""

from __future__ import annotations

import logging
import os
import select
import selectors
import socket
import threading

from taskscheduler.clock import Clock
from taskscheduler_daemon.ipc.output_pipes import ERR, OUT, PIPES, ReceivedPipes, receive_pipes
from taskscheduler_daemon.node.output.book import LogBook
from taskscheduler_daemon.node.output.echo import JobEcho
from taskscheduler_daemon.node.output.streams import Key, Output, WorkerStreams
from taskscheduler_daemon.system.threads import SessionThreads, join

logger = logging.getLogger(__name__)

_GATHER = 0.01  #: seconds

_AT_ONCE = 64 * 1024  #: bytes, what a pipe holds

_LOOK_EVERY = 0.05  #: seconds between two looks whether there is room again

_TICK = 0.5  #: seconds between two looks at lines that are not complete

_LAST_WORDS = 2.0  #: seconds in which the pipes of workers that have ended are read

_STREAMS = {OUT: 1, ERR: 2}


class _Worker:
    """The pipes of one worker."""

    def __init__(self, received: ReceivedPipes) -> None:
        self.id = received.worker
        self.page = received.page
        self.descriptors = list(received.readers)
        self.streams = WorkerStreams()
        self.open = set(PIPES)
        self.wrote: set[Key] = set()  #: the attempts whose output was read last
        self.waits = False  #: whether its pipes are not read for now


class OutputReader:
    """Reads pipes, finds out whose output it is, and gives it to the log book; the node prints what is of nobody."""

    def __init__(
        self, inbox: socket.socket, book: LogBook, clock: Clock, threads: SessionThreads, echo: JobEcho | None = None
    ) -> None:
        """`inbox` is where the manager sends the pipes of each worker; `echo` prints what comes as well."""
        self._inbox = inbox
        self._book = book
        self._echo = echo
        self._clock = clock
        self._threads = threads
        self._thread: threading.Thread | None = None
        self._workers: set[_Worker] = set()
        self._waiting: set[_Worker] = set()  #: those that are not read for now
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = os.pipe()
        self._stop_at: float | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._selector.register(self._inbox, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = self._threads.start("output", self._loop)

    def stop(self) -> None:
        """Reads what workers have left that have ended, and ends the thread."""
        self._stop_at = self._clock.monotonic() + _LAST_WORDS
        os.write(self._waker, b"\0")
        join(self._thread)
        for worker in list(self._workers):
            self._forget(worker)
        self._selector.close()
        os.close(self._woken)
        os.close(self._waker)

    def _loop(self) -> None:
        read = False
        while self._stop_at is None or (self._workers and self._clock.monotonic() < self._stop_at):
            began = self._clock.now().timestamp()
            ready = self._selector.select(self._longest_wait(read))
            read = False
            for key, _ in ready:
                if key.fileobj is self._inbox:
                    self._welcome()
                elif key.data is not None:
                    worker, pipe = key.data
                    if not worker.waits:  # since this very round
                        self._read(worker, pipe)
                        read = True
            self._book.read_until(began)
            self._complete_lines()
            if read:
                self._book.hurry.wait(_GATHER)
            self._resume()

    def _longest_wait(self, has_read: bool) -> float | None:
        """Returns the seconds until it looks again: soon after it has read, to know that there was no more."""
        if self._stop_at is not None or has_read:
            return 0.0 if has_read else _GATHER
        if self._waiting:
            return _LOOK_EVERY
        waits = any(pipe.has_beginnings for worker in self._workers for pipe in worker.streams.pipes)
        return _TICK if waits else None

    def _welcome(self) -> None:
        """Takes over the pipes of a new worker."""
        try:
            received = receive_pipes(self._inbox)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            logger.warning("the output of a worker is not stored", extra={"reason": str(error)})
            return
        if received is None:
            self._selector.unregister(self._inbox)  # the manager has ended
            return
        worker = _Worker(received)
        self._workers.add(worker)
        for pipe in PIPES:
            self._selector.register(worker.descriptors[pipe], selectors.EVENT_READ, (worker, pipe))

    def _read(self, worker: _Worker, pipe: int) -> None:
        """Reads a pipe once, or again where it is not clear whose the bytes are."""
        reader, page = worker.streams.pipes[pipe], worker.page
        worker.wrote.clear()
        page.note(pipe, True)  # before the read: the worker looks at the pipe first
        for _ in range(3):
            before = page.current()
            now = self._clock.now().timestamp()  # before the read: the job may log something right after it
            try:
                data = os.read(worker.descriptors[pipe], _AT_ONCE)
            except (BlockingIOError, InterruptedError):
                data = None
            if data == b"":
                self._take(worker, reader.close(page.current(), now))
                self._closed(worker, pipe)
                return
            self._take(worker, reader.feed(data, now) if data else [])
            if not reader.is_undecided:
                break
            if before == page.current():
                self._take(worker, reader.decide(before))
                break
        self._book.end(worker.streams.ended(pipe))
        page.note(pipe, reader.has_unended)
        if self._stop_at is None and self._book.is_full and self._book.heaviest(worker.wrote):
            self._let_wait(worker)

    def _let_wait(self, worker: _Worker) -> None:
        """Stops reading a worker, so that its job waits when its pipes are full."""
        worker.waits = True
        self._waiting.add(worker)
        for pipe in worker.open:
            self._selector.unregister(worker.descriptors[pipe])

    def _resume(self) -> None:
        """Reads all workers again as soon as there is room, or when this node stops."""
        if not self._waiting or (self._stop_at is None and self._book.is_full):
            return
        for worker in self._waiting:
            worker.waits = False
            for pipe in worker.open:
                self._selector.register(worker.descriptors[pipe], selectors.EVENT_READ, (worker, pipe))
        self._waiting.clear()

    def _closed(self, worker: _Worker, pipe: int) -> None:
        if not worker.waits:
            self._selector.unregister(worker.descriptors[pipe])
        os.close(worker.descriptors[pipe])
        worker.open.discard(pipe)
        self._book.end(worker.streams.ended(pipe))
        if not worker.open:
            self._book.end(worker.streams.close(worker.page.current()))
            self._workers.discard(worker)
            self._waiting.discard(worker)
            worker.page.close()

    def _forget(self, worker: _Worker) -> None:
        for pipe in list(worker.open):
            self._take(worker, worker.streams.pipes[pipe].close(worker.page.current(), self._clock.now().timestamp()))
            self._closed(worker, pipe)

    def _take(self, worker: _Worker, found: list[Output]) -> None:
        worker.streams.took(found)
        if self._echo is not None and found:
            self._echo.show(found)
        for output in found:
            if output.key is not None:
                worker.wrote.add(output.key)
                self._book.add(output.key, output.entry)
            else:
                _print(output)

    def _complete_lines(self) -> None:
        now = self._clock.now().timestamp()
        for worker in self._workers:
            for pipe in worker.open:
                self._take(worker, worker.streams.pipes[pipe].overdue(now))


def _print(output: Output) -> None:
    """Prints what no job has printed where the node prints, if there is room."""
    descriptor = _STREAMS[OUT if output.entry.stream == "stdout" else ERR]
    try:
        if select.select([], [descriptor], [], 0)[1]:
            os.write(descriptor, output.entry.text)
    except (OSError, ValueError):
        pass
