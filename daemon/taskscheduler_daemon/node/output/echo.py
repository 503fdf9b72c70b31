"""JobEcho: prints what jobs print also where the node prints, each line after its job, for people who watch a node."""

from __future__ import annotations

import os
import select
from collections.abc import Sequence

from taskscheduler.model.logs.lines import LOG, STDOUT
from taskscheduler_daemon.node.output.book import LogBook
from taskscheduler_daemon.node.output.streams import Output
from taskscheduler_daemon.presentation.clean import clean, clean_lines

_AT_ONCE = 4096  #: bytes, which a pipe that can be written to takes without blocking

_WIDEST = 30  #: characters of a class

_DIGITS = 6  #: of an id, which commands take for the whole of a recent one

_PATIENCE = 0.2  #: seconds that a line waits for a slow reader

_COLORS = (36, 33, 32, 35, 34)


class JobEcho:
    """Prints the lines of the standard streams; log records reach the log of the node by themselves.

    Characters that would steer a terminal are shown as text. A reader that takes too long misses lines, and learns how
    many: jobs do not wait for it.
    """

    def __init__(self, book: LogBook, streams: tuple[int, int] = (1, 2)) -> None:
        """`streams` are the descriptors of the standard output and the standard error."""
        self._book = book
        self._streams = streams
        self._width = 0  #: of the widest job so far, so that the lines stand below each other
        self._left_out = 0
        self._is_stuck = False

    def show(self, found: Sequence[Output]) -> None:
        """Prints what attempts have printed."""
        for output in found:
            if output.key is None or output.entry.stream == LOG:
                continue
            descriptor = self._streams[output.entry.stream != STDOUT]
            head = self._head(output.key, descriptor)
            lines = clean_lines(output.entry.text.decode(errors="replace"))
            self._print(descriptor, [f"{head}{line}\n".encode(errors="replace") for line in lines])

    def _head(self, key: tuple[bytes, int], descriptor: int) -> str:
        attempt = self._book.attempt_of(key)
        job_id = key[0] if attempt is None else attempt.fence.job_id.binary
        name = clean(str(attempt.job.get("class")))[-_WIDEST:] if attempt is not None else "job"
        job = f"{name} {job_id.hex()[-_DIGITS:]}"
        self._width = max(self._width, len(job))
        text = f"{job:<{self._width}} |"
        color = _COLORS[job_id[-1] % len(_COLORS)]
        return f"\x1b[{color}m{text}\x1b[0m " if _is_fancy(descriptor) else f"{text} "

    def _print(self, descriptor: int, lines: Sequence[bytes]) -> None:
        for line in lines:
            if not self._has_room(descriptor):
                self._left_out += 1
                continue
            if self._left_out:
                _write(descriptor, f"[{self._left_out} lines of jobs are left out here; they are stored]\n".encode())
                self._left_out = 0
            for start in range(0, len(line), _AT_ONCE):
                if start and not self._has_room(descriptor):
                    break
                _write(descriptor, line[start : start + _AT_ONCE])

    def _has_room(self, descriptor: int) -> bool:
        """Waits a little until the reader takes more; not at all if it did not the last time."""
        try:
            self._is_stuck = not select.select([], [descriptor], [], 0.0 if self._is_stuck else _PATIENCE)[1]
        except (OSError, ValueError):  # it is closed
            self._is_stuck = True
        return not self._is_stuck


def _is_fancy(descriptor: int) -> bool:
    """Returns whether colours may be printed there."""
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _write(descriptor: int, data: bytes) -> None:
    try:
        os.write(descriptor, data)
    except OSError:
        pass  # nobody reads it any more
