"""Jobs with `set_up` and `tear_down`, and jobs that say what they do."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from taskscheduler import Job, Outcome
from tests.support.jobs import trace


class Traced(Job):
    """Traces its three steps into the file `trace`, raises in those that `raises` names, and may wait."""

    name = "traced"

    def set_up(self) -> None:
        self._step("set_up")

    def start(self) -> str:
        self._step("start")
        pause = threading.Event()
        while self.data.get("wait"):
            pause.wait(0.01)
        return "value"

    def tear_down(self, outcome: Outcome) -> None:
        error = (outcome.error or {}).get("message", "none").replace(" ", "_")
        self._step("tear_down", outcome.status.label, outcome.result, error)

    def _step(self, name: str, *words: Any) -> None:
        trace(self.data["trace"], name, self.attempt, *words)
        if name in self.data.get("raises", ()):
            raise ValueError(f"no {name}")


class Forks(Job):
    """Comes back twice."""

    name = "forks"

    def start(self) -> str:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        return "back"

    def tear_down(self, outcome: Outcome) -> None:
        trace(self.data, "tear_down", os.getpid())


class Files(Job):
    """Has done `completed` of 120 files and waits for the file `until`; or says that it failed."""

    name = "files"
    progress_target = 120

    def start(self) -> None:
        self.update_progress(completed=self.data["completed"], message="files")
        pause = threading.Event()
        while not os.path.exists(self.data["until"]):
            pause.wait(0.01)
        self._give_up()

    def _give_up(self) -> None:
        try:
            self.fail("the disk is full")
        finally:
            self.logger.warning("giving up", extra={"disk": "sda"})


class Logs(Job):
    """Returns what its logger makes of a record."""

    name = "logs"

    def start(self) -> dict[str, Any]:
        records: list[logging.LogRecord] = []
        handler = logging.Handler()
        handler.emit = records.append  # type: ignore[method-assign, assignment]
        self.logger.logger.addHandler(handler)
        self.logger.warning("half %s", "way", extra={"mine": 1})
        seen = vars(records[0])
        return {name: seen[name] for name in ("name", "msg", "job", "job_name", "attempt", "mine")}
