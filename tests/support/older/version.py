"""Runs version 0.1.0 itself: its source comes from the history of this repository, its dependencies from here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

COMMIT = "9d50e4a"  #: version 0.1.0

_NODE = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
from taskscheduler import Scheduler
from taskscheduler_daemon import QueueNode
sys.exit(QueueNode(Scheduler(sys.argv[1]), jobs=["side_by_side"], name="old", pm="static", min_children=2,
                   orphaned_timeout=60).process())
"""

_PRODUCER = """
import os, sys, time
from taskscheduler import Scheduler
from side_by_side import mark
uri, trace, acked, stop, seconds = sys.argv[1:]
scheduler = Scheduler(uri)
number = 0
while not os.path.exists(stop):
    options = {"solo": "key"} if number % 3 == 0 else {}
    data = {"file": trace, "seconds": float(seconds) if options else 0.0}
    mark(acked, scheduler.add_job("mark", data, **options).id)
    number += 1
    time.sleep(0.1)
"""

_FILL = """
import sys
from datetime import timedelta
from taskscheduler import Scheduler
uri, trace = sys.argv[1:]
scheduler = Scheduler(uri)
data = {"file": trace}
done = [scheduler.add_job("mark", data, tags=["x"]) for _ in range(3)]
failed = [scheduler.add_job("broken") for _ in range(3)]
scheduler.add_job("broken", retry=3, retry_interval=3600)
scheduler.add_job("mark", data, interval=3600)
scheduler.cancel_job(scheduler.add_job("mark", data, at=timedelta(hours=1)).id)
scheduler.add_job("mark", data, at=timedelta(hours=2))
scheduler.add_job_once("mark", {**data, "seconds": 0.5})
scheduler.add_job("mark", data, queue="nobody-serves-it")
for process in (*done, *failed):
    process.wait(60)
"""


class OlderVersion:
    """The source of version 0.1.0 in a folder, and the processes that run it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", COMMIT, "scheduler", "daemon"], capture_output=True, check=False
        )
        if archive.returncode:
            pytest.skip("the history of this checkout does not reach back to version 0.1.0")
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)

    def node(self, uri: str, log: Path) -> subprocess.Popen[bytes]:
        """Starts a node."""
        return self._run(_NODE, log, uri)

    def producer(self, uri: str, trace: Path, acked: Path, stop: Path, log: Path) -> subprocess.Popen[bytes]:
        """Starts a program that adds jobs until the file `stop` is there, and writes down the ids that it has got."""
        return self._run(_PRODUCER, log, uri, str(trace), str(acked), str(stop), "0.03")

    def fill(self, uri: str, trace: Path, log: Path) -> None:
        """Adds jobs in every state, which a node of this version runs."""
        assert self._run(_FILL, log, uri, str(trace)).wait(120) == 0, log.read_text()

    def _run(self, program: str, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
        paths = [self._folder / "scheduler", self._folder / "daemon", Path(__file__).parent]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        with log.open("w") as output:
            started = subprocess.Popen(
                [sys.executable, "-c", program, *arguments], stdout=output, stderr=output, env=environment
            )
        self._started.append(started)
        return started

    def close(self) -> None:
        """Ends what still runs. The processes below a node end with it."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait(20)
