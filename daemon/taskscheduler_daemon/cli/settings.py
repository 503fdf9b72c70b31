"""Decides what holds for the whole command: which database, which form of output, colours, and how it is printed."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import click

FORMS = ("table", "json", "ndjson", "tsv", "id")


@dataclass
class Settings:
    """The global options, wherever on the command line they were given."""

    uri: str | None = None
    output: str | None = None
    no_color: bool = False
    verbose: bool = False

    @property
    def terminal(self) -> bool:
        return sys.stdout.isatty()

    @property
    def fancy(self) -> bool:
        """Whether colours and characters beyond ASCII may be printed."""
        plain = self.no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
        return self.terminal and not plain and encoding.startswith("utf")

    def form(self, piped: str = "tsv") -> str:
        """The form of output that was asked for, else a table for people and `piped` for programs."""
        return self.output or ("table" if self.terminal else piped)

    def paint(self, text: str, color: int | None = None, *, bold: bool = False, dim: bool = False) -> str:
        """The text in a colour, where colours are wanted."""
        return click.style(text, fg=color, bold=bold or None, dim=dim or None) if self.fancy else text


def say(line: str = "") -> None:
    """Print one line of the result."""
    click.echo(line)


def remark(line: str) -> None:
    """Print one line beside the result."""
    click.echo(line, err=True)
