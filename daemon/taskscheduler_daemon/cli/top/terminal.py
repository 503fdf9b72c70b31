"""The terminal of `taskscheduler top`: its other screen, its keys, and everything as it was afterwards."""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from taskscheduler_daemon.cli.top.drawing import REVERSED, Line

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"  #: the other screen, without a cursor

_LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"

_HOME, _RESET = "\x1b[H", "\x1b[0m"

_NAMES = {
    **{f"\x1b[{letter}": name for letter, name in (("A", "up"), ("B", "down"), ("5~", "page up"), ("6~", "page down"))},
    **{f"\x1bO{letter}": name for letter, name in (("A", "up"), ("B", "down"))},
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\b": "backspace",
    "\x1b": "escape",
}

_LFLAG, _CC = 3, 6


class Terminal:
    """Takes the terminal for a `with` block."""

    def __init__(self, fancy: bool) -> None:
        self._fancy = fancy
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._before: list[Any] = []

    def fileno(self) -> int:
        """Returns the descriptor of the keys."""
        return self._in

    def __enter__(self) -> Terminal:
        self._before = termios.tcgetattr(self._in)
        changed = termios.tcgetattr(self._in)
        changed[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
        changed[_CC][termios.VMIN], changed[_CC][termios.VTIME] = 1, 0
        changed[_CC][termios.VSUSP] = b"\0"  # suspended, it would leave the shell this screen
        termios.tcsetattr(self._in, termios.TCSADRAIN, changed)
        self._write(_ENTER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._write(_LEAVE)
        except OSError:
            pass  # it was closed
        try:
            termios.tcsetattr(self._in, termios.TCSADRAIN, self._before)
        except termios.error:
            pass

    def size(self) -> tuple[int, int]:
        """Returns width and height."""
        found = os.get_terminal_size(self._out)
        return max(20, found.columns), max(5, found.lines)

    def show(self, lines: Sequence[Line]) -> None:
        """Writes a whole screen at once over the one before: nothing is cleared, so nothing flickers."""
        styled = (f"{one.style}{one.text}{_RESET}" if self._is_styled(one) else one.text for one in lines)
        self._write(_HOME + "\r\n".join(styled))

    def _is_styled(self, line: Line) -> bool:
        return bool(line.style) and (self._fancy or line.style == REVERSED)

    def keys(self) -> list[str] | None:
        """Returns the keys that were pressed, by their names; None if the terminal is gone."""
        try:
            typed = os.read(self._in, 1024)
        except OSError:
            return None
        return names_of(typed.decode(errors="replace")) if typed else None

    def _write(self, text: str) -> None:
        data = text.encode(errors="replace")
        while data:
            data = data[os.write(self._out, data) :]


def names_of(typed: str) -> list[str]:
    """Returns the names of keys; a printable character is its own name, and any other is left out."""
    found = []
    while typed:
        known = next((code for code in sorted(_NAMES, key=len, reverse=True) if typed.startswith(code)), None)
        if known is not None:
            found.append(_NAMES[known])
        elif typed[0].isprintable():
            found.append(typed[0])
        typed = typed[len(known or typed[0]) :]
    return found
