"""A program that no node runs: it keeps record of itself, again and again, under a key that it shares with others.

    python -m tests.faults.program URI '{"seed": 7, "sabotage": ["turn"]}'

As jobs do, it writes down when it begins, beats and ends, but only as long as it believes that it is its turn: for as
long as it may be silent after it last began to say that it lives.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from taskscheduler import AlreadyRunningError, Scheduler
from taskscheduler.errors import DatabaseUnavailableError, SchedulerError
from taskscheduler.operations.programs import Record
from tests.faults import sabotage
from tests.faults.history import of_environment
from tests.faults.processes import die_with_parent
from tests.faults.standing import SHARED_KEY

SILENCE = 2.0  #: seconds after which others may begin
_BEAT = 0.05
_SIGN_EVERY = 0.25
_PAUSE = 0.2


class Turn:
    """One record, from its beginning to its end."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._record: Record = scheduler.track("faults.program", solo=SHARED_KEY, timeout=SILENCE)
        self._id = str(self._record.id)
        self._history = of_environment()
        self._said = 0.0

    def begin(self) -> bool:
        """Whether it is our turn."""
        self._history.write("add", ids=[self._id], expected="any")
        try:
            self._said = time.monotonic()
            self._record.start()
        except AlreadyRunningError:
            self._history.write("refused", ids=[self._id])
        except SchedulerError as error:
            self._history.write("unknown", ids=[self._id], why=f"{type(error).__name__}: {error}"[:200])
        else:
            self._history.write("acked", ids=[self._id])
            return self._note("start")
        return False

    def work(self, seconds: float) -> None:
        """Take so long, unless others end it before."""
        over, pause = time.monotonic() + seconds, threading.Event()
        while time.monotonic() < over and self._lives():
            self._note("beat")
            pause.wait(_BEAT)
        self._note("end", how="done")
        try:
            self._record.finish()
        except SchedulerError as error:
            self._history.write("unfinished", job=self._id, why=f"{type(error).__name__}: {error}"[:200])

    def _lives(self) -> bool:
        """Say so every now and then; whether nobody has ended the record."""
        now = time.monotonic()
        if now < self._said + _SIGN_EVERY:
            return True
        try:
            self._record.sign_of_life()
            self._said = now
        except DatabaseUnavailableError:
            return time.monotonic() < self._said + SILENCE
        except SchedulerError:
            self._said = float("-inf")
            return False
        return True

    def _note(self, what: str, **facts: Any) -> bool:
        """Write it down if it is our turn, as far as can be known."""
        now, pid = time.monotonic(), os.getpid()
        if now >= self._said + SILENCE:
            return False
        self._history.write(what, job=self._id, attempt=1, manager=pid, **facts | {"t": now})
        return True


def main(uri: str, seed: str, without: list[str]) -> int:
    """One record after the other until SIGTERM."""
    die_with_parent()
    os.setpgrp()  # as a shell does it: it is gone when nothing is left of its group
    sabotage.apply(without)
    stopped, dice = threading.Event(), random.Random(seed)

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Scheduler(uri, progress_rate_limit=0) as scheduler:
        while not stopped.wait(_PAUSE):
            turn = Turn(scheduler)
            if turn.begin():
                turn.work(dice.uniform(0.2, 1.5))
    return 0


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    sys.exit(main(sys.argv[1], given.get("seed", ""), given.get("sabotage", [])))
