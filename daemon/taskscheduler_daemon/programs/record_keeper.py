"""Keeps the record of a running command: signs of life while it runs, its end when it has ended.

Both happen in threads of their own, so that a database that cannot be reached never holds the command up.
"""

from __future__ import annotations

import select
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TextIO

from taskscheduler.clock import NEVER, Clock
from taskscheduler.errors import InvalidStateError, JobNotFoundError, SchedulerError
from taskscheduler.model.job_errors import JobError, JobTimeoutError
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.system.signal_pipe import SignalPipe

#: signals that go on to the command; while its end is being stored, one shortens that to GRACE
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

GRACE = 3.0  #: seconds between SIGTERM and SIGKILL to the command, and between a signal and giving up its end

_LIFE_EVERY = 2.0  #: seconds; the command is ended at most this long after its record was cancelled


class ProgramRecord(Protocol):
    """The record of a program, as its keeper needs it; see taskscheduler.Record."""

    def to_dict(self) -> dict[str, Any]: ...

    def stands_for(self, group: int) -> None: ...

    def sign_of_life(self) -> None: ...

    def finish(self, success: bool = True, result: Any = None) -> None: ...

    def fail(self, message: str, result: Any = None, /, **details: Any) -> None: ...


class RecordKeeper:
    """Writes signs of life and the end of one command to its record; failures become remarks."""

    def __init__(
        self, record: ProgramRecord, signals: SignalPipe, silence: float, stderr: TextIO, clock: Clock
    ) -> None:
        self.lost: SchedulerError | None = None  #: why the command must end: others have ended its record
        self._record = record
        self._signals = signals
        self._life_every = min(_LIFE_EVERY, silence / 3) if silence else _LIFE_EVERY
        self._stderr = stderr
        self._clock = clock
        self._ended = threading.Event()

    def start(self, group: int) -> None:
        """Starts to write signs of life for the process group of the command."""
        threading.Thread(target=self._live, args=(group,), name="taskscheduler-life", daemon=True).start()

    def stop(self) -> None:
        """Writes no more signs of life: the command has ended."""
        self._ended.set()

    def finish(self, result: Any) -> None:
        """Stores that the command succeeded."""
        self._store(partial(self._record.finish, result=result))

    def fail(self, message: str, result: Any = None, /, **details: Any) -> None:
        """Stores that the command failed, or could not be run."""
        self._store(partial(self._record.fail, message, result, **details))

    def remark(self, text: str) -> None:
        """Prints one line beside the output of the command."""
        self._stderr.write(f"taskscheduler exec: {clean(text)}\n")
        self._stderr.flush()

    def _live(self, group: int) -> None:
        warned = False
        write: Callable[[], None] = partial(self._record.stands_for, group)
        while not self._ended.is_set():
            try:
                write()
                warned = False
            except (JobError, JobNotFoundError, InvalidStateError) as error:
                if not self._ended.is_set():
                    self._lose(error)
                return
            except SchedulerError as error:
                if not warned and not self._ended.is_set():
                    self.remark(f"cannot write a sign of life: {error}; the command goes on")
                warned = True
            write = self._record.sign_of_life  # what could not be written goes with it
            self._ended.wait(self._life_every)

    def _lose(self, error: SchedulerError) -> None:
        """Has the command ended, as others have ended its record; a timed-out one goes on unless it is solo."""
        if isinstance(error, JobTimeoutError) and "solo" not in self._record.to_dict():
            self.remark(f"{error}; the command goes on without a record")
        else:
            self.lost = error
            self._signals.wake()

    def _store(self, write: Callable[[], None]) -> None:
        """Stores the end. If that fails, the exit code still says what happened to the command.

        The record tries for a while when the database is unreachable; a signal shortens that to GRACE.
        """
        refusals: list[SchedulerError] = []
        stored = threading.Event()

        def attempt() -> None:
            try:
                write()
            except SchedulerError as error:
                refusals.append(error)
            finally:
                stored.set()
                self._signals.wake()

        threading.Thread(target=attempt, name="taskscheduler-end", daemon=True).start()
        if not self._await(stored):
            self.remark("the end of the command was not stored: no answer from the database")
        elif refusals:
            self.remark(f"the end of the command was not stored: {refusals[0]}")

    def _await(self, stored: threading.Event) -> bool:
        """Waits until the end is stored, at most GRACE after a signal; tells people if it takes longer than that."""
        remark_at, until = self._clock.monotonic() + GRACE, NEVER
        while not stored.is_set() and (now := self._clock.monotonic()) < until:
            if now >= remark_at:
                remark_at = NEVER
                self.remark("the end of the command is not stored yet; trying for a minute")
            select.select([self._signals], [], [], min(1.0, until - now))
            if not set(FORWARDED).isdisjoint(self._signals.read()):
                until = min(until, now + GRACE)
        return stored.is_set()
