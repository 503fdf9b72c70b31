"""Prints lines, and says which colours and characters a terminal can show.

Everything that commands print passes `say`, `say_lines` or `remark`. They escape every character that could steer a
terminal, whoever wrote the text, except for the colours of `painted`.
"""

from __future__ import annotations

import os
import secrets
import sys

import click

from taskscheduler_daemon.presentation.clean import clean

_ESCAPE = "\x1b["

#: stands for the start of a colour until it is printed; nobody outside this process can know it, so nobody forges one
_COLOR = f"\x1b{secrets.token_hex(8)}["


def is_terminal() -> bool:
    """Returns whether the standard output is a terminal."""
    return sys.stdout.isatty()


def is_fancy(no_color: bool = False) -> bool:
    """Returns whether colours and characters beyond ASCII may be printed."""
    plain = no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    return is_terminal() and not plain and encoding.startswith("utf")


def painted(text: str, color: int | None = None, *, bold: bool = False, dim: bool = False) -> str:
    """Returns a text that will be printed in a colour."""
    before, _, after = click.style("|", fg=color, bold=bold or None, dim=dim or None).partition("|")
    return before.replace(_ESCAPE, _COLOR) + text + after.replace(_ESCAPE, _COLOR)


def say(line: str = "") -> None:
    """Prints one line of the result."""
    click.echo(_harmless(line))


def say_lines(text: str) -> None:
    """Prints a part of the result that may have several lines, such as indented JSON."""
    for line in text.split("\n"):
        say(line)


def remark(line: str) -> None:
    """Prints one line beside the result, on the standard error."""
    click.echo(_harmless(line), err=True)


def _harmless(line: str) -> str:
    """Returns a line in which only tabs, as TSV has them, and our own colours are not printable."""
    return _ESCAPE.join(clean(part, keep="\t") for part in line.split(_COLOR))


def one_line(text: str) -> str:
    """Returns a message in one line, without characters that could steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
