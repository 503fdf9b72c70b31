"""Where this process is: it says so when another one sends a signal, in a file that both have open.

The first signal has Python write the frames of all threads, between two steps of the main thread: that harms nothing. A
process that runs no Python code does not answer it. The second one has the kernel interrupt it wherever it is, and
`faulthandler` write what can be read then.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import re
import signal
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Protocol

import bson
from bson.errors import BSONError

from taskscheduler.model.attempts.stack import MOST_FRAMES, MOST_THREADS, StackFrame, StackThread

#: signals that hardly anything else uses; a process that does not handle them would be ended by them
ASK, INSIST = (int(signal.SIGRTMIN) + 9, int(signal.SIGRTMIN) + 10) if hasattr(signal, "SIGRTMIN") else (0, 0)

_MARK = b"\0taskscheduler stack\0"

_LENGTH = struct.Struct("<I")

_MOST = 8 * 1024 * 1024  #: bytes

_THREAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-f]+)(?: \[([^\]]*)\])? \(most recent call first\):$")

_CALL = re.compile(r'^  File "(.*)", line (\d+|\?\?\?) in (.*)$')

MAIN = "main thread"


class Tasks(Protocol):
    """What a process runs beside the threads."""

    def coroutines(self) -> Mapping[str, Sequence[StackFrame]]:
        """Returns the frames of each task that a name stands for, the outermost first."""
        ...


class Dump(NamedTuple):
    """What a process has said."""

    threads: tuple[StackThread, ...]
    tasks: Mapping[str, StackThread]
    frozen: bool  #: it did not run Python code


class StackFile:
    """The file, which is in memory. Made before the fork."""

    def __init__(self) -> None:
        self._file = os.memfd_create("taskscheduler-stack") if hasattr(os, "memfd_create") else _temporary()
        fcntl.fcntl(self._file, fcntl.F_SETFL, fcntl.fcntl(self._file, fcntl.F_GETFL) | os.O_APPEND)

    def fileno(self) -> int:
        """Returns the descriptor."""
        return self._file

    def clear(self) -> None:
        """Removes what was said before."""
        os.ftruncate(self._file, 0)

    def size(self) -> int:
        """Returns how many bytes were said."""
        return os.fstat(self._file).st_size

    def read(self) -> Dump | None:
        """Returns what Python has said; None if it has not, or not to its end."""
        said = os.pread(self._file, _MOST, 0)
        start = said.rfind(_MARK)
        if start < 0 or len(said) < start + len(_MARK) + _LENGTH.size:
            return None
        begin = start + len(_MARK) + _LENGTH.size
        (length,) = _LENGTH.unpack_from(said, start + len(_MARK))
        return _decoded(said[begin : begin + length]) if len(said) >= begin + length else None

    def read_frozen(self) -> Dump | None:
        """Returns what `faulthandler` has said; None if it has not."""
        threads = list(parsed(os.pread(self._file, _MOST, 0).decode(errors="replace")))
        return Dump(tuple(reversed(threads)), {}, True) if threads else None

    def close(self) -> None:
        """Closes it here."""
        os.close(self._file)


def _temporary() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _decoded(said: bytes) -> Dump | None:
    """Reads what a process has said, which a job can have written."""
    try:
        content = bson.decode(said)
        threads = tuple(_thread(name, frames) for name, frames in content["threads"])
        return Dump(threads, {name: _thread(name, frames) for name, frames in content["tasks"].items()}, False)
    except (BSONError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _thread(name: Any, frames: Any) -> StackThread:
    return StackThread(str(name), tuple(StackFrame(str(file), int(line), str(call)) for file, line, call in frames))


def parsed(text: str) -> Iterator[StackThread]:
    """Yields the threads in the text of `faulthandler`, the main one last."""
    name, frames = "", list[StackFrame]()
    for line in [*text.splitlines(), ""]:
        if found := _THREAD.match(line):
            name, frames = f"thread {found[2] or found[1]}", []
        elif found := _CALL.match(line):
            frames.append(StackFrame(found[1], int(found[2]) if found[2].isdigit() else 0, found[3]))
        elif name and not line.strip():
            yield StackThread(name, tuple(reversed(frames)))
            name = ""


class StackAnswers:
    """Answers in this process from now on."""

    def __init__(self, file: StackFile, tasks: Tasks) -> None:
        self._file = file
        self._tasks = tasks

    def start(self) -> None:
        """Handles both signals."""
        if ASK:
            signal.signal(ASK, self._answer)
            signal.signal(INSIST, _nothing)  # should a job take away the handler of faulthandler, this one stays
            faulthandler.register(INSIST, file=self._file, all_threads=True, chain=True)

    def _answer(self, _number: int, frame: FrameType | None) -> None:
        try:
            said = bson.encode({"threads": _threads(frame), "tasks": self._named()})
            os.write(self._file.fileno(), _MARK + _LENGTH.pack(len(said)) + said)
        except Exception:
            pass  # whoever asks hears nothing, and the job goes on

    def _named(self) -> dict[str, list[list[Any]]]:
        return {name: [_stored(*frame[:3]) for frame in frames] for name, frames in self._tasks.coroutines().items()}


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Handles the second signal once Python runs again."""


def _threads(of_main: FrameType | None) -> list[list[Any]]:
    """Returns the name and the calls of each thread, of the main one first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    main = threading.main_thread().ident
    found = [[MAIN, list(frames_of(of_main))]]
    for ident, frame in list(sys._current_frames().items())[:MOST_THREADS]:
        if ident != main:
            found.append([f"thread {names.get(ident, ident)}"[:200], list(frames_of(frame))])
    return found


def frames_of(frame: FrameType | None) -> list[list[Any]]:
    """Returns file, line and function of a frame and of those that called it, the outermost first."""
    found: list[list[Any]] = []
    while frame is not None and len(found) < MOST_FRAMES:
        code = frame.f_code
        found.append(_stored(code.co_filename, frame.f_lineno, code.co_qualname))
        frame = frame.f_back
    return found[::-1]


def _stored(file: str, line: int | None, function: str) -> list[Any]:
    return [file.encode(errors="replace").decode(), line or 0, function.encode(errors="replace").decode()]


def coroutine_frames(coroutine: Any) -> list[StackFrame]:
    """Returns where a coroutine waits: its own frame, then those of what it awaits."""
    found: list[StackFrame] = []
    while coroutine is not None and len(found) < MOST_FRAMES:
        frame = next((one for name in _FRAMES if (one := getattr(coroutine, name, None)) is not None), None)
        if isinstance(frame, FrameType):
            found.append(StackFrame(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_qualname))
        coroutine = next((one for name in _AWAITED if (one := getattr(coroutine, name, None)) is not None), None)
    return found


_FRAMES = ("cr_frame", "gi_frame", "ag_frame")

_AWAITED = ("cr_await", "gi_yieldfrom", "ag_await", "coroutine")


def handles(pid: int, number: int) -> bool:
    """Returns whether a process handles a signal and does not block it: else the signal might end it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    masks = {name: int(mask, 16) for name, _, mask in (line.partition(":") for line in lines) if name in _MASKS}
    bit = 1 << (number - 1)
    return bool(masks.get("SigCgt", 0) & bit) and not masks.get("SigBlk", bit) & bit


_MASKS = ("SigCgt", "SigBlk")
