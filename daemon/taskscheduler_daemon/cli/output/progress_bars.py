"""Draws a progress bar for each job that a command waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.job import LOOKS, news, run_time, state

_NAME_WIDTH = 24


class ProgressBars:
    """Progress bars without a thread of their own: each update draws them."""

    def __init__(self, settings: Settings) -> None:
        self._fancy = settings.fancy
        self._rows: dict[Process, TaskID] = {}
        self._progress = Progress(
            _column("name", max_width=_NAME_WIDTH),
            _column("id"),
            BarColumn(bar_width=30),
            _column("percent", justify="right"),
            _column("status"),
            _column("seconds", justify="right"),
            _column("note", overflow="ellipsis"),
            console=Console(no_color=not settings.fancy, highlight=False, markup=False, emoji=False),
            auto_refresh=False,
        )
        self._progress.start()

    def update(self, jobs: Sequence[Process]) -> None:
        """Draws the jobs as they are now."""
        for job in jobs:
            fields = self._fields(job)
            if job not in self._rows:
                self._rows[job] = self._progress.add_task("", total=100, completed=0, **fields)
            self._progress.update(self._rows[job], completed=_percent(job), **fields)
        self._progress.refresh()

    def _fields(self, job: Process) -> dict[str, Any]:
        now = SYSTEM_CLOCK.now()
        seconds = run_time(job, now)
        return {
            "name": _text(job.job),
            "id": _text(("…" if self._fancy else "..") + job.id_text[-6:]),
            "percent": _text(f"{_percent(job):.0f}%"),
            "status": _text(state(job.status, self._fancy), f"color({LOOKS[job.status].color})"),
            "seconds": _text(seconds),
            "note": _text(_without_percent(news(job, now))),
        }

    def close(self) -> None:
        """Leaves the bars on the screen as they are."""
        self._progress.stop()


class _FieldColumn(TextColumn):
    """A column that shows a ready-made text, so that rich finds no markup in it."""

    def __init__(self, field: str, column: Column) -> None:
        super().__init__("", table_column=column)
        self._field = field

    def render(self, task: object) -> Text:
        """Returns the text of this column for a task."""
        text = getattr(task, "fields", {}).get(self._field)
        return text if isinstance(text, Text) else Text()


def _column(field: str, **layout: object) -> _FieldColumn:
    return _FieldColumn(field, Column(no_wrap=True, **layout))  # type: ignore[arg-type]


def _text(text: str, style: str = "") -> Text:
    """Returns a text that cannot steer the terminal."""
    return Text(clean(text), style)


def _percent(job: Process) -> float:
    return 100.0 if job.status is Status.DONE else job.progress


def _without_percent(text: str) -> str:
    first, _, rest = text.partition(" ")
    return rest if first.rstrip(";").endswith("%") else text
