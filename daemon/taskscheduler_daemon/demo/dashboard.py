"""Draws the demo on a terminal: a live table of the jobs, the last events and the summary."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler_daemon.demo.output import due, event_line, note
from taskscheduler_daemon.demo.plan import RECURRING
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.job import LOOKS, run_time, state, tries

_MOST_EVENTS = 10

_BAR_WIDTH, _SHORT_BAR_WIDTH = 14, 8

_WIDE = 96  #: columns of a terminal with room for long bars

_FRAME = 4  #: lines of the screen that are neither jobs nor events nor summary


class Dashboard:
    """The live view. It has no thread: each call that brings something new draws it."""

    def __init__(self, fancy: bool) -> None:
        self._fancy = fancy
        self._console = Console(no_color=not fancy, highlight=False, markup=False, emoji=False)
        self._overflow: Literal["ellipsis", "crop"] = "ellipsis" if fancy else "crop"  #: where a line is too long
        self._events: deque[Text] = deque(maxlen=_MOST_EVENTS)
        self._jobs: Sequence[Process] = ()
        self._runs = ""
        self._summary: Sequence[str] = ()
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

    def say(self, *lines: str) -> None:
        """Prints lines above the table."""
        for line in lines:
            self._console.print(Text(clean(line)), soft_wrap=True)

    def event(self, name: str, process: Process) -> None:
        """Keeps an event for the next picture."""
        line = Text(event_line(name, process, self._fancy), no_wrap=True, overflow=self._overflow)
        line.stylize("dim")
        line.highlight_words([state(process.status, self._fancy)], f"not dim {self._style(process)}")
        self._events.append(line)

    def show(self, jobs: Sequence[Process], runs: str) -> None:
        """Draws the jobs as they are now."""
        self._jobs, self._runs = jobs, runs
        self._draw()

    def summary(self, lines: Sequence[str]) -> None:
        """Draws the summary below the events from now on."""
        self._summary = lines
        self._draw()

    def close(self) -> None:
        """Leaves the last picture on the screen."""
        self._live.stop()

    def _draw(self) -> None:
        if not self._live.is_started:
            self._live.start()
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Group:
        room = self._console.height - len(self._jobs) - len(self._summary) - _FRAME
        events = list(self._events)[-max(0, min(room, _MOST_EVENTS)) :] if room > 0 else []
        parts: list[RenderableType] = [self._table(), *([Text()] if events else []), *events]
        if self._summary:
            first, *rest = self._summary
            parts += [Text(), Text(first, "bold" if self._fancy else ""), *map(Text, rest)]
        return Group(*parts)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold" if self._fancy else "", expand=True)
        table.add_column("JOB", no_wrap=True, min_width=14)
        table.add_column("STATE", no_wrap=True, min_width=12)
        table.add_column("TRY", no_wrap=True, justify="right", min_width=3)
        table.add_column("PROGRESS", no_wrap=True, width=self._bar_width)
        table.add_column("", no_wrap=True, justify="right", min_width=4)
        table.add_column("RUN", no_wrap=True, justify="right", min_width=5)
        table.add_column("NOTE", no_wrap=True, overflow=self._overflow, ratio=1)
        for job in self._jobs:
            table.add_row(*self._row(job))
        return table

    def _row(self, job: Process) -> tuple[Text | ProgressBar, ...]:
        name = ("└ " if self._fancy else "- ") + job.job if job.parent else job.job
        shown = job.status is not Status.WAITING and job.status is not Status.POSTPONED and job.progress > 0
        return (
            Text(clean(name)),
            Text(state(job.status, self._fancy), self._style(job)),
            Text(tries(job)),
            self._bar(job) if shown else Text(),
            Text(f"{job.progress:.0f}%" if shown else ""),
            Text(run_time(job, SYSTEM_CLOCK.now())),
            Text(clean(self._note(job))),
        )

    @property
    def _bar_width(self) -> int:
        return _BAR_WIDTH if self._console.width >= _WIDE else _SHORT_BAR_WIDTH

    def _bar(self, job: Process) -> Text | ProgressBar:
        if not self._fancy:
            return Text("#" * round(self._bar_width * job.progress / 100))
        return ProgressBar(width=self._bar_width, completed=job.progress, complete_style=self._style(job))

    def _note(self, job: Process) -> str:
        recurs = job.job == RECURRING and self._runs and job.status is Status.POSTPONED
        return f"{due(job)}; {self._runs}" if recurs else note(job)

    def _style(self, job: Process) -> str:
        return f"color({LOOKS[job.status].color})" if self._fancy and job.id is not None else ""
