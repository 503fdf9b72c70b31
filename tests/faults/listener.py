"""A process that listens to every change of a status and writes it down; after a fault it resumes by its token.

    python -m tests.faults.listener URI FILE_OF_THE_TOKEN

`listening` is the moment from which on nothing may be missed, `heard` a change, `gap` a notice of lost events.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from taskscheduler import Process, Scheduler
from taskscheduler.errors import SchedulerError
from tests.faults.history import of_environment
from tests.faults.observing import HistoryHandler, observe_streams
from tests.faults.processes import die_with_parent

_SLICE = 2.0  #: seconds after which the token is kept
_PAUSE = 0.2


class Ear:
    """Listens in slices, each of which goes on where the last one ended."""

    def __init__(self, scheduler: Scheduler, token_file: Path) -> None:
        self._scheduler = scheduler
        self._token_file = token_file
        self._token: Any = json.loads(token_file.read_text()) if token_file.exists() else None
        self._history = of_environment()
        scheduler.on("gap", self._gap)

    @property
    def has_place(self) -> bool:
        """Whether there is a place in the stream after which nothing will be missed."""
        return self._token is not None

    def listen(self) -> None:
        """One slice."""
        seconds = _SLICE if self.has_place else 0.01
        token = self._scheduler.listen(self._heard, timeout=seconds, after=self._token)
        if token is not None and token != self._token:
            self._token = dict(token)
            spare = self._token_file.with_suffix(".new")
            spare.write_text(json.dumps(self._token))
            spare.replace(self._token_file)

    def _heard(self, process: Process) -> None:
        self._history.write("heard", job=str(process.id), status=int(process.status), attempt=process.attempt)

    def _gap(self, _event: str, process: Process) -> None:
        self._history.write("gap", why=process.message)


def main(uri: str, token_file: Path) -> int:
    """Listen until SIGTERM."""
    die_with_parent()
    stopped, history = threading.Event(), of_environment()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, handlers=[logging.StreamHandler(), HistoryHandler(history, "listener")])
    logging.getLogger("pymongo").setLevel(logging.WARNING)
    observe_streams(history)
    with Scheduler(uri) as scheduler:
        ear = Ear(scheduler, token_file)
        told = False
        while not stopped.is_set():
            try:
                ear.listen()
                if ear.has_place and not told:
                    history.write("listening")
                    told = True
            except SchedulerError as error:
                history.write("listen_failed", why=f"{type(error).__name__}: {error}"[:200])
                stopped.wait(_PAUSE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
