"""Prints lines for people, and says which colours and characters their terminal can show."""

from __future__ import annotations

import os
import sys

import click


def is_terminal() -> bool:
    """Returns whether the standard output is a terminal."""
    return sys.stdout.isatty()


def is_fancy(no_color: bool = False) -> bool:
    """Returns whether colours and characters beyond ASCII may be printed."""
    plain = no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    return is_terminal() and not plain and encoding.startswith("utf")


def say(line: str = "") -> None:
    """Prints one line of the result."""
    click.echo(line)


def remark(line: str) -> None:
    """Prints one line beside the result, on the standard error."""
    click.echo(line, err=True)


def one_line(text: str) -> str:
    """Returns a message in one line, without characters that could steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
