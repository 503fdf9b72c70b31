"""Reads snapshots and does what keys ask for, in a thread: a slow database must not keep keys waiting."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Any

from taskscheduler.errors import SchedulerError
from taskscheduler.store.driver_errors import StoreError, translated
from taskscheduler_daemon.cli.database import OpenDatabase
from taskscheduler_daemon.cli.output.job_facts import described
from taskscheduler_daemon.cli.top.snapshot import Snapshot
from taskscheduler_daemon.cli.top.state import CANCEL, OPEN, RESUME, STACK, Command
from taskscheduler_daemon.presentation.terminal import one_line
from taskscheduler_daemon.system.signal_pipe import SignalPipe

_REASON = "taskscheduler top"


class Reader:
    """Keeps the last snapshot, and wakes the loop when there is something new."""

    def __init__(self, database: OpenDatabase, interval: float, loop: SignalPipe) -> None:
        self.snapshot: Snapshot | None = None
        self.fault = ""  #: why there is no newer one
        self.message: str | None = None  #: what has become of the last command
        self.details: Sequence[str] | None = None  #: what it has found
        self._database = database
        self._interval = interval
        self._loop = loop
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="taskscheduler-top", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def do(self, command: Command) -> None:
        """Has a command done, then reads anew."""
        self._commands.put(command)

    def stop(self) -> None:
        """Ends the thread after what it is doing; waits a moment for it."""
        self._commands.put(None)
        self._thread.join(1.0)

    def _run(self) -> None:
        while True:
            self._read()
            self._loop.wake()
            try:
                command = self._commands.get(timeout=self._interval)
            except queue.Empty:
                continue
            if command is None:
                return
            self._carry_out(command)

    def _read(self) -> None:
        try:
            with translated():
                self.snapshot, self.fault = Snapshot.read(self._database), ""
        except (SchedulerError, StoreError) as error:
            self.fault = one_line(str(error))
        except Exception as error:  # whatever somebody has stored must not end the screen
            self.fault = f"not read: {type(error).__name__}: {one_line(str(error))}"

    def _carry_out(self, command: Command) -> None:
        try:
            self.message = self._done(command)
        except (SchedulerError, StoreError) as error:
            self.message = one_line(str(error))

    def _done(self, command: Command) -> str:
        scheduler = self._database.scheduler
        if command.verb == OPEN:
            job = scheduler.get_job(command.job)
            self.details = described(job, scheduler.store.clock.now())
            return ""
        if command.verb == STACK:
            self.details = str(scheduler.inspect.stack(command.job, 5)).splitlines()
            return ""
        if command.verb == CANCEL:
            return f"job {command.job} {'is cancelled' if scheduler.cancel_job(command.job) else 'had ended'}"
        name: Any = command.queue
        if name is None:
            name = scheduler.get_job(command.job).options.get("queue")
        if command.verb == RESUME:
            return f"queue {name} {'goes on' if scheduler.resume(queue=name) else 'was not paused'}"
        scheduler.pause(queue=name, reason=_REASON)
        return f"queue {name} is paused; running jobs go on"
