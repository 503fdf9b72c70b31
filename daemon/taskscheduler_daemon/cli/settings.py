"""The options that every command has: the database, the form of output and colours."""

from __future__ import annotations

from dataclasses import dataclass

from taskscheduler_daemon.presentation.terminal import is_fancy, is_terminal, painted

FORMS = ("table", "json", "ndjson", "tsv", "id")


#: options of a scheduler that every command takes, so that all see the same jobs
COLLECTIONS = ("job_store", "job_queue", "event_queue")


@dataclass
class Settings:
    """The global options, wherever on the command line they were given."""

    uri: str | None = None
    output: str | None = None
    no_color: bool = False
    verbose: bool = False
    reason: str | None = None  #: why somebody does what the command does, for the audit log
    job_store: str | None = None
    job_queue: str | None = None
    event_queue: str | None = None

    @property
    def collections(self) -> dict[str, str]:
        """The names of collections that were given, as options of a scheduler."""
        given = {name: getattr(self, name) for name in COLLECTIONS}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def terminal(self) -> bool:
        """Whether the standard output is a terminal."""
        return is_terminal()

    @property
    def fancy(self) -> bool:
        """Whether colours and characters beyond ASCII may be printed."""
        return is_fancy(self.no_color)

    def form(self, piped: str = "tsv") -> str:
        """Returns the form of output that was asked for, else a table for people and `piped` for programs."""
        return self.output or ("table" if self.terminal else piped)

    def paint(self, text: str, color: int | None = None, *, bold: bool = False, dim: bool = False) -> str:
        """Returns the text in a colour, where colours are wanted."""
        return painted(text, color, bold=bold, dim=dim) if self.fancy else text
