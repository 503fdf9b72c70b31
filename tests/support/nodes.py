"""Queue nodes as real processes, and what can be seen of their process trees."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.eventually import eventually
from tests.support.nursery import Nursery, is_ordinary

ROOT = Path(__file__).parents[2]

#: a node that never looks by itself, and whose lease does not end: what it does follows from what it was told
TOLD: dict[str, Any] = {
    "late": "from taskscheduler_daemon.node.maintenance import duty, planner, unknown_sweeper\n"
    "duty.POLL = planner.POLL = unknown_sweeper.POLL = 36000.0",
    "orphaned_timeout": 360_000,
}

_MAIN = """
import json, logging, sys
logging.basicConfig(level=logging.INFO, format="%(process)d %(name)s %(levelname)s %(message)s %(asctime)s")
from taskscheduler import Scheduler
from taskscheduler_daemon import QueueNode
uri, scheduler_options, options = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
sys.exit(QueueNode(Scheduler(uri, options=scheduler_options), **options).process())
"""


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def descendants(pid: int) -> list[int]:
    below = children(pid)
    return below + [deeper for child in below for deeper in descendants(child)]


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


_NURSERIES: list[Nursery] = []  #: of this process; the last one is used


def nursery() -> Nursery:
    """The one of this process, which ends with it."""
    if not _NURSERIES or not _NURSERIES[-1].is_alive:
        _NURSERIES.append(Nursery())
        atexit.register(_NURSERIES[-1].close)
    return _NURSERIES[-1]


def _started(program: str, arguments: list[str], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", program, *arguments]
    with log.open("w") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT, env=environment)


class NodeProcess:
    """A queue node that was started with these options, after the statements of `prelude` and `late`.

    Those of `prelude` run before the product is imported, in a new interpreter; those of `late` in a process that has
    imported it, which takes half a second of CPU less.
    """

    def __init__(
        self,
        uri: str,
        log: Path,
        options: dict[str, Any],
        scheduler: dict[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`environment`: whatever the node is to have instead of ours; then it starts as an interpreter of its own."""
        options = {"jobs": ["tests.support.jobs"], "name": log.stem, **options}
        scheduler = options.pop("scheduler_options", scheduler or {})
        prelude, late = options.pop("prelude", ""), options.pop("late", "")
        self.log = log
        self.seen: set[int] = set()
        arguments = [uri, json.dumps(scheduler), json.dumps(options)]
        ours = dict(environment or {**os.environ, "PYTHONPATH": str(ROOT)})
        # what a prelude changes may have been imported in the nursery already, and from another path
        start = _started if prelude or environment or not is_ordinary(ours) else nursery().start
        self.process = start(f"{prelude}\n{late}\n{_MAIN}", arguments, log, ours)

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until_ready(self) -> None:
        eventually(lambda: self.process.poll() is not None or "node ready" in self.log.read_text(), 30, "node ready")
        assert self.process.poll() is None, self.log.read_text()

    @property
    def manager(self) -> int:
        """The pid of the worker manager."""
        return eventually(lambda: children(self.pid))[0]

    @property
    def workers(self) -> list[int]:
        """The pids of the workers."""
        return children(self.manager)

    def tree(self) -> list[int]:
        """All processes below the node."""
        below = descendants(self.pid)
        self.seen.update(below)
        return below

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to the node alone."""
        self.tree()
        self.process.kill()
        self.process.wait(10)

    def stop(self, timeout: float = 20.0) -> int:
        """SIGTERM; the exit code."""
        self.tree()
        self.process.terminate()
        return self.process.wait(timeout)

    def destroy(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        self._freeze()
        for pid in [*self.tree(), *self.seen] if self.process.poll() is None else self.seen:
            if self._is_ours(pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def _freeze(self) -> None:
        """What is below the node starts nothing more while it is being killed, be it a fork bomb."""
        frozen: set[int] = set()
        while self.process.poll() is None and (running := {self.pid, *self.tree()} - frozen):
            for pid in running:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            frozen |= running

    def _is_ours(self, pid: int) -> bool:
        """A pid that was seen below this node and has not been given to a stranger since."""
        try:
            return b"taskscheduler" in Path(f"/proc/{pid}/cmdline").read_bytes() or is_running(pid)
        except (FileNotFoundError, ProcessLookupError):
            return False
