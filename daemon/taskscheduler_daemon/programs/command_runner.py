"""Runs a command as a tracked program, passes on its output and signals, and shows signs of life for it."""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import IO, Any, cast

from taskscheduler.clock import Clock
from taskscheduler.errors import InvalidStateError, JobNotFoundError, SchedulerError
from taskscheduler.model.job_errors import JobError, JobTimeoutError
from taskscheduler.operations.programs import Record
from taskscheduler_daemon.system.kill import signal_group
from taskscheduler_daemon.system.signal_pipe import SignalPipe
from taskscheduler_daemon.system.spawn import dying_with_parent

NOT_EXECUTABLE, NOT_FOUND, TIMED_OUT = 126, 127, 124  #: exit codes, as shells and timeout(1) have them

KILL_GRACE = 3.0  #: seconds between SIGTERM and SIGKILL

LONGEST_TAIL = 64 * 1024  #: bytes of output that are stored

_LIFE_EVERY = 2.0  #: seconds; so soon a command hears that its record was cancelled

_LINGER = 1.0  #: seconds for which output is read that descendants of an ended command may still write

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Tail:
    """The last bytes of an output."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        self._kept += data
        del self._kept[: -self._most]

    def text(self) -> str:
        return self._kept.decode(errors="replace")


class CommandRunner:
    """One command, from its start to its end, under a record that has been started. Use it in the main thread."""

    def __init__(
        self,
        record: Record,
        silence: float,
        timeout: float,
        most_output: int,
        remark: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._record = record
        self._life_every = min(_LIFE_EVERY, silence / 3) if silence else _LIFE_EVERY
        self._timeout = timeout
        self._tail = Tail(min(LONGEST_TAIL, most_output))
        self._remark = remark
        self._clock = clock
        self._lost: SchedulerError | None = None  #: why the command must end: others have ended its record
        self._term_at: float = float("inf")
        self._kill_at: float = float("inf")
        self._timed_out = False

    def run(self, arguments: Sequence[str]) -> int:
        """Run the command to its end; its exit code, or 128 and the number of the signal that ended it."""
        signals = SignalPipe([*_FORWARDED, signal.SIGCHLD])
        try:
            process = self._start(arguments, signals)
            if isinstance(process, int):
                return process
            over = threading.Event()
            facts = (process.pid, over, signals)
            life = threading.Thread(target=self._live, args=facts, name="taskscheduler-life", daemon=True)
            life.start()
            self._watch(process, signals)
            over.set()
            return self._conclude(process.returncode, signals)
        finally:
            signals.close()

    def _start(self, arguments: Sequence[str], signals: SignalPipe) -> subprocess.Popen[bytes] | int:
        """The running command, or the exit code if it cannot be run."""
        self._term_at = self._clock.monotonic() + (self._timeout or float("inf"))
        try:
            return subprocess.Popen(
                list(arguments),
                stdin=subprocess.DEVNULL if sys.stdin is None or sys.stdin.isatty() else None,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                process_group=0,
                preexec_fn=dying_with_parent(signal.SIGTERM),
            )
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError)
            reason = "command not found" if missing else getattr(error, "strerror", None) or str(error)
            self._remark(f"taskscheduler exec: {arguments[0]}: {reason}")
            code = NOT_FOUND if missing else NOT_EXECUTABLE
            self._write(lambda: self._record.fail(f"{arguments[0]}: {reason}", exit_code=code), signals)
            return code

    # -- while it runs ----------------------------------------------------------------------------------------------

    def _watch(self, process: subprocess.Popen[bytes], signals: SignalPipe) -> None:
        """Pass on its output and our signals until it has ended and nothing more is to be read."""
        linger_until = float("inf")
        with selectors.DefaultSelector() as selector:
            selector.register(signals, selectors.EVENT_READ)
            for pipe, descriptor in ((process.stdout, 1), (process.stderr, 2)):
                selector.register(pipe, selectors.EVENT_READ, descriptor)  # type: ignore[arg-type]
            while True:
                for key, _ in selector.select(self._until(linger_until)):
                    if key.fileobj is signals:
                        self._forward(process.pid, signals.read())
                    elif not self._pass_on(key.fd, key.data):
                        selector.unregister(key.fileobj)
                        cast(IO[bytes], key.fileobj).close()
                self._end_if_due(process.pid)
                if process.poll() is not None:
                    linger_until = min(linger_until, self._clock.monotonic() + _LINGER)
                    if len(selector.get_map()) == 1 or self._clock.monotonic() >= linger_until:
                        break
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        if self._kill_at < float("inf"):
            signal_group(process.pid, signal.SIGKILL)  # what it has left behind

    def _until(self, linger_until: float) -> float | None:
        """Seconds until something is to be done."""
        next_at = min(self._term_at, self._kill_at, linger_until)
        return None if next_at == float("inf") else max(0.0, next_at - self._clock.monotonic())

    @staticmethod
    def _forward(pid: int, numbers: Sequence[int]) -> None:
        for number in numbers:
            if number in _FORWARDED:
                signal_group(pid, number)

    def _pass_on(self, descriptor: int, target: int) -> bool:
        """Whether there may be more. Not without a reader: then the command is to find its pipe closed, too."""
        data = os.read(descriptor, 65_536)
        self._tail.add(data)
        return bool(data) and _write_all(target, data)

    def _end_if_due(self, pid: int) -> None:
        now = self._clock.monotonic()
        if now >= self._term_at:
            self._timed_out = True
        if (self._lost is not None or self._timed_out) and self._kill_at == float("inf"):
            signal_group(pid, signal.SIGTERM)
            self._term_at, self._kill_at = float("inf"), now + KILL_GRACE
        elif now >= self._kill_at:
            signal_group(pid, signal.SIGKILL)
            self._kill_at = now + KILL_GRACE

    def _live(self, group: int, over: threading.Event, signals: SignalPipe) -> None:
        """Show signs of life. A database that cannot be reached is no reason to end the command."""
        warned = False
        say: Callable[[], None] = partial(self._record.stands_for, group)
        while not over.is_set():
            try:
                say()
                warned = False
            except (JobError, JobNotFoundError, InvalidStateError) as error:
                if not over.is_set():
                    self._lose(error, signals)
                return
            except SchedulerError as error:
                if not warned and not over.is_set():
                    self._remark(f"taskscheduler exec: no sign of life written: {error}; the command goes on")
                warned = True
            say = self._record.sign_of_life  # what could not be written goes with it
            over.wait(self._life_every)

    def _lose(self, error: SchedulerError, signals: SignalPipe) -> None:
        """Others have ended the record."""
        if isinstance(error, JobTimeoutError) and "solo" not in self._record.to_dict():
            self._remark(f"taskscheduler exec: {error}; the command goes on without a record")
        else:
            self._lost = error
            signals.wake()

    # -- when it has ended ------------------------------------------------------------------------------------------

    def _conclude(self, code: int, signals: SignalPipe) -> int:
        result = {"exit_code": code, "output": self._tail.text(), "output_bytes": self._tail.total}
        if self._lost is not None:
            self._remark(f"taskscheduler exec: {self._lost}; the command was ended")
        elif self._timed_out:
            self._write(
                lambda: self._record.fail(f"it ran longer than {self._timeout:g} s and was killed", result), signals
            )
            self._remark(f"taskscheduler exec: the command ran longer than {self._timeout:g} s and was killed")
            return TIMED_OUT
        elif code == 0:
            self._write(lambda: self._record.finish(result=result), signals)
        else:
            self._write(lambda: self._record.fail(_how(code), result, **_details(code)), signals)
        return code if code >= 0 else 128 - code

    def _write(self, write: Callable[[], None], signals: SignalPipe) -> None:
        """Have the end stored. What happened to the command counts, whether or not that is possible.

        The record tries for a while when the database is away; a signal shortens that to KILL_GRACE.
        """
        refusals: list[SchedulerError] = []
        over = threading.Event()

        def tried() -> None:
            try:
                write()
            except SchedulerError as error:
                refusals.append(error)
            finally:
                over.set()
                signals.wake()

        threading.Thread(target=tried, name="taskscheduler-end", daemon=True).start()
        if not self._await(over, signals):
            self._remark("taskscheduler exec: the end of the command was not stored: no answer from the database")
        elif refusals:
            self._remark(f"taskscheduler exec: the end of the command was not stored: {refusals[0]}")

    def _await(self, over: threading.Event, signals: SignalPipe) -> bool:
        """Whether it is over, or a signal came before and gave it KILL_GRACE; says so if it takes longer than that."""
        tell_at, until = self._clock.monotonic() + KILL_GRACE, float("inf")
        while not over.is_set() and (now := self._clock.monotonic()) < until:
            if now >= tell_at:
                tell_at = float("inf")
                self._remark("taskscheduler exec: the end of the command is not stored yet; trying for a minute")
            select.select([signals], [], [], 1.0)
            if not set(_FORWARDED).isdisjoint(signals.read()):
                until = min(until, now + KILL_GRACE)
        return over.is_set()


def _write_all(descriptor: int, data: bytes) -> bool:
    """Wait for a reader that is slow; whether there still is one. Nothing else keeps the command from going on."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
        except BrokenPipeError:
            return False
        except OSError:
            break
    return True


def _how(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"killed by {_name(-code)}"


def _details(code: int) -> dict[str, Any]:
    return {"exit_code": code} if code > 0 else {"signal": _name(-code)}


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
