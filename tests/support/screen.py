"""A program on a terminal of its own, and what it shows there: each of its screens replaces the one before."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.eventually import eventually

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
PATIENCE = 60.0  #: seconds

_HOME, _OTHER, _BACK = "\x1b[H", "\x1b[?1049h", "\x1b[?1049l"


class OnTerminal:
    """The program, the keys for it, and its newest screen."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], columns: int = 80, lines: int = 24
    ) -> None:
        self._ours, self.theirs = pty.openpty()
        self.resize(columns, lines)
        self.before = self.settings()
        self.said = ""
        self.process = subprocess.Popen(
            command,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def settings(self) -> list[Any]:
        """How the terminal is set."""
        return termios.tcgetattr(self.theirs)

    def resize(self, columns: int, lines: int) -> None:
        """Changes its size, of which the kernel tells the program."""
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def read(self) -> str:
        """Everything that it has written so far."""
        while select.select([self._ours], [], [], 0)[0]:
            try:
                self.said += os.read(self._ours, 65_536).decode(errors="replace")
            except OSError:
                break
        return self.said

    @property
    def screen(self) -> list[str]:
        """The lines of the last screen that another one has replaced, so it is whole."""
        screens = self.read().split(_HOME)[:-1]
        return [_STYLE.sub("", line).rstrip("\r") for line in screens[-1].split("\n")] if len(screens) > 1 else []

    def shows(self, *texts: str) -> list[str]:
        """Waits until the screen shows all of these texts; returns it."""
        try:
            return eventually(lambda: screen if _has(screen := self.screen, texts) else None, PATIENCE)
        except AssertionError:
            raise AssertionError(f"{texts} are not on the screen: {self.said[-3000:]!r}") from None

    @property
    def is_restored(self) -> bool:
        """Whether the terminal is as it was: its own screen, its cursor, its settings."""
        said = self.read()
        back = said.rfind(_BACK) > said.rfind(_OTHER) >= 0 and said.rfind("\x1b[?25h") > said.rfind("\x1b[?25l")
        return back and self.settings() == self.before

    def ended(self) -> int:
        """Waits for its end; returns its exit code."""
        eventually(lambda: self.read() is not None and self.process.poll() is not None, PATIENCE, "its end")
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        os.close(self._ours)
        os.close(self.theirs)


def _has(screen: Sequence[str], texts: Sequence[str]) -> bool:
    return all(any(text in line for line in screen) for text in texts)
