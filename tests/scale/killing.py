"""Nodes of which one is killed now and then, or a worker, and started again; and a primary that steps down."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.nodes import NodeProcess, children
from tests.support.replicaset import ReplicaSet


class Nodes:
    """So many nodes on a database, with the jobs of tests.scale.controlled."""

    def __init__(self, uri: str, directory: Path, count: int, **options: Any) -> None:
        self._uri = uri
        self._directory = directory
        self._options = {"jobs": ["tests.scale.controlled", "tests.support.jobs"], **options}
        self._all: list[NodeProcess] = []
        self.running: list[NodeProcess] = []
        for _ in range(count):
            self._start()
        for node in self.running:
            node.wait_until_ready()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self._all:
            node.destroy()

    def _start(self) -> None:
        node = NodeProcess(self._uri, self._directory / f"node-{len(self._all)}.log", self._options)
        self._all.append(node)
        self.running.append(node)

    def replace(self, node: NodeProcess) -> None:
        """SIGKILL to a node, and another one in its place."""
        node.kill()
        self.running.remove(node)
        self._start()

    def workers(self) -> list[int]:
        """The pids of all workers."""
        return [pid for node in self.running for manager in children(node.pid) for pid in children(manager)]


class Killer:
    """While it is entered, kills a worker every half a second, half of them at work, and a node every few seconds."""

    def __init__(self, nodes: Nodes, at_work: Callable[[], list[int]], members: ReplicaSet | None = None) -> None:
        """`at_work`: the pids of workers that run a job."""
        self._nodes = nodes
        self._at_work = at_work
        self._members = members
        self._chance = random.Random(11)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self.killed = {"workers": 0, "nodes": 0, "primaries": 0}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Kills nothing more."""
        self._over.set()
        self._thread.join()

    def _loop(self) -> None:
        round_ = 0
        while not self._over.wait(0.5):
            round_ += 1
            self._kill_worker()
            if round_ % 12 == 0:
                self._nodes.replace(self._chance.choice(self._nodes.running))
                self.killed["nodes"] += 1
            if self._members is not None and round_ % 40 == 20:
                self._members.step_down()
                self.killed["primaries"] += 1

    def _kill_worker(self) -> None:
        workers = self._nodes.workers()
        busy = [pid for pid in self._at_work() if pid in workers] if self._chance.random() < 0.5 else []
        if workers:
            with suppress(ProcessLookupError):
                os.kill(self._chance.choice(busy or workers), signal.SIGKILL)
                self.killed["workers"] += 1
