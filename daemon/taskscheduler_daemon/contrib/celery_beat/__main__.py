"""python -m taskscheduler_daemon.contrib.celery_beat MODULE:APP: prints the schedules of a Celery application.

It writes a program that adds them. Entries without a counterpart are comments there, and lines on the standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler_daemon.contrib.celery_beat.application import ApplicationError, beat_schedule
from taskscheduler_daemon.contrib.celery_beat.entries import Translated, translated
from taskscheduler_daemon.presentation.terminal import remark, say

_HEAD = "from taskscheduler import Scheduler\n\nwith Scheduler() as scheduler:"
_INDENT = "    "


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the program; returns 0, 1 if an entry was left out, or 2 if there is no beat_schedule to read."""
    given = _parser().parse_args(arguments)
    sys.path.insert(0, os.getcwd())
    try:
        found = beat_schedule(given.place)
    except ApplicationError as error:
        remark(f"Error: {' '.join(str(error).split())}")
        return 2
    zone = given.timezone or found.timezone or "UTC"
    now = SYSTEM_CLOCK.now()
    results = [translated(name, entry, zone, now) for name, entry in found.entries.items()]
    _print(results)
    return 1 if any(one.call is None for one in results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m taskscheduler_daemon.contrib.celery_beat",
        description="Print the beat_schedule of a Celery application as calls of scheduler.schedules.add.",
    )
    parser.add_argument("place", metavar="MODULE:NAME", help="a Celery application, or a mapping such as a setting")
    parser.add_argument("--timezone", help="time zone of its crontabs  [default: that of the application, else UTC]")
    return parser


def _print(results: Sequence[Translated]) -> None:
    for line in _HEAD.split("\n"):
        say(line)
    for one in results:
        for text in one.remarks:
            note = f"{one.name}: {text}" if one.call else f"{one.name} is left out: {text}"
            say(f"{_INDENT}# {' '.join(note.split())}")
            remark(note)
        if one.call:
            say(_INDENT + one.call)
    if not any(one.call for one in results):
        say(f"{_INDENT}pass")


if __name__ == "__main__":
    sys.exit(main())
