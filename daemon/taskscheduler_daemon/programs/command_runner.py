"""Runs a command as a tracked program: passes on its output and signals, and ends it when its record is ended."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import IO, Any, TextIO, cast

from taskscheduler.clock import NEVER, Clock
from taskscheduler_daemon.programs.output import LONGEST_TAIL, OutputTail, write_all
from taskscheduler_daemon.programs.record_keeper import FORWARDED, GRACE, ProgramRecord, RecordKeeper
from taskscheduler_daemon.system.kill import signal_group
from taskscheduler_daemon.system.signal_pipe import SignalPipe
from taskscheduler_daemon.system.spawn import dying_with_parent

NOT_EXECUTABLE, NOT_FOUND, TIMED_OUT = 126, 127, 124  #: exit codes, as shells and timeout(1) have them

_LINGER = 1.0  #: seconds for which output is read that descendants of an ended command may still write


class CommandRunner:
    """Runs one command under a record that has been started. For the main thread, since it handles signals.

    `silence` and `timeout` are seconds, 0 for none; at most `most_output` bytes of output are stored. Remarks for
    people go to `stderr`.
    """

    def __init__(
        self, record: ProgramRecord, silence: float, timeout: float, most_output: int, stderr: TextIO, clock: Clock
    ) -> None:
        self._record = record
        self._silence = silence
        self._timeout = timeout
        self._tail = OutputTail(min(LONGEST_TAIL, most_output))
        self._stderr = stderr
        self._clock = clock
        self._term_at: float = NEVER
        self._kill_at: float = NEVER
        self._timed_out = False

    def run(self, arguments: Sequence[str]) -> int:
        """Runs the command to its end; returns its exit code, or 128 and the number of the signal that ended it."""
        signals = SignalPipe([*FORWARDED, signal.SIGCHLD])
        keeper = RecordKeeper(self._record, signals, self._silence, self._stderr, self._clock)
        try:
            process = self._start(arguments, keeper)
            if isinstance(process, int):
                return process
            keeper.start(process.pid)
            self._watch(process, signals, keeper)
            keeper.stop()
            return self._conclude(process.returncode, keeper)
        finally:
            signals.close()

    def _start(self, arguments: Sequence[str], keeper: RecordKeeper) -> subprocess.Popen[bytes] | int:
        """Starts the command; returns the exit code if it cannot be run."""
        self._term_at = self._clock.monotonic() + (self._timeout or NEVER)
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
            keeper.remark(f"{arguments[0]}: {reason}")
            code = NOT_FOUND if missing else NOT_EXECUTABLE
            keeper.fail(f"{arguments[0]}: {reason}", exit_code=code)
            return code

    def _watch(self, process: subprocess.Popen[bytes], signals: SignalPipe, keeper: RecordKeeper) -> None:
        """Passes on its output and our signals until it has ended and its output is read."""
        linger_until = NEVER
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
                self._end_if_due(process.pid, keeper)
                if process.poll() is not None:
                    linger_until = min(linger_until, self._clock.monotonic() + _LINGER)
                    if len(selector.get_map()) == 1 or self._clock.monotonic() >= linger_until:
                        break
        self._clean_up(process)

    def _clean_up(self, process: subprocess.Popen[bytes]) -> None:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        if self._kill_at < NEVER:
            signal_group(process.pid, signal.SIGKILL)  # what it has left behind

    def _until(self, linger_until: float) -> float | None:
        """Returns the seconds until the next deadline; None if there is none."""
        next_at = min(self._term_at, self._kill_at, linger_until)
        return None if next_at == NEVER else max(0.0, next_at - self._clock.monotonic())

    @staticmethod
    def _forward(pid: int, numbers: Sequence[int]) -> None:
        for number in numbers:
            if number in FORWARDED:
                signal_group(pid, number)

    def _pass_on(self, descriptor: int, target: int) -> bool:
        """Passes output on; False at its end, or without a reader: then the command finds its pipe closed, too."""
        data = os.read(descriptor, 65_536)
        self._tail.add(data)
        return bool(data) and write_all(target, data)

    def _end_if_due(self, pid: int, keeper: RecordKeeper) -> None:
        """Sends SIGTERM if the command timed out or lost its record, and SIGKILL after the grace time."""
        now = self._clock.monotonic()
        if now >= self._term_at:
            self._timed_out = True
        if (keeper.lost is not None or self._timed_out) and self._kill_at == NEVER:
            signal_group(pid, signal.SIGTERM)
            self._term_at, self._kill_at = NEVER, now + GRACE
        elif now >= self._kill_at:
            signal_group(pid, signal.SIGKILL)
            self._kill_at = now + GRACE

    def _conclude(self, code: int, keeper: RecordKeeper) -> int:
        """Stores the end of the command; returns the exit code."""
        result = {"exit_code": code, "output": self._tail.text(), "output_bytes": self._tail.total}
        if keeper.lost is not None:
            keeper.remark(f"{keeper.lost}; the command was ended")
        elif self._timed_out:
            keeper.fail(f"it ran longer than {self._timeout:g} s and was killed", result)
            keeper.remark(f"the command ran longer than {self._timeout:g} s and was killed")
            return TIMED_OUT
        elif code == 0:
            keeper.finish(result)
        else:
            keeper.fail(_cause(code), result, **_details(code))
        return code if code >= 0 else 128 - code


def _cause(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"killed by {_name(-code)}"


def _details(code: int) -> dict[str, Any]:
    return {"exit_code": code} if code > 0 else {"signal": _name(-code)}


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
