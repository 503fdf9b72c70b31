"""Versions: the present source and an older one, whose nodes and programs run in the same way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.nodes import ROOT, NodeProcess

STATIC = {"pm": "static", "min_children": 2, "max_children": 2}
_JOBS = "tests.benchmarks.jobs"
_WITHIN = 600.0  #: seconds for a program, such as one that adds a million jobs
_CHECK = "import taskscheduler, taskscheduler_daemon as d; print(taskscheduler.__file__); print(d.__file__)"


class VersionError(Exception):
    """A version cannot be measured; the text says what helps."""


class Version:
    """A source tree of the product, run by this interpreter with the packages of this environment.

    So what differs between two versions is their own code: not the driver, nor the interpreter. The jobs, and the
    programs that add them, are those of the present tests.
    """

    def __init__(self, name: str, source: Path) -> None:
        """`name`: what the names of its figures begin with; `source`: the folder of `scheduler/` and `daemon/`."""
        self.name = name
        self.source = source

    @property
    def environment(self) -> dict[str, str]:
        """The environment of all its processes."""
        paths = [self.source / "scheduler", self.source / "daemon", ROOT]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}

    def check(self) -> None:
        """Makes sure that a process of it imports this source. Raises VersionError."""
        ran = self._run("-c", _CHECK)
        if ran.returncode:
            raise VersionError(
                f"the source in {self.source} cannot be imported here ({_last_line(ran.stderr)}); "
                "install what it needs into this environment"
            )
        for path in ran.stdout.split():
            if not Path(path).is_relative_to(self.source):
                raise VersionError(f"{path} was imported instead of the source in {self.source}")

    def act(self, uri: str, *words: object) -> Any:
        """Runs `tests.benchmarks.acting` with these words, and returns what it measured. Raises VersionError."""
        ran = self._run("-m", "tests.benchmarks.acting", uri, *map(str, words))
        if ran.returncode:
            raise VersionError(f"{self.name}: {' '.join(map(str, words))} failed: {ran.stderr[-500:]}")
        return json.loads(ran.stdout.splitlines()[-1])

    def node(self, uri: str, log: Path, **options: Any) -> NodeProcess:
        """Starts a node with two static workers."""
        return NodeProcess(uri, log, {"jobs": [_JOBS], **STATIC, **options}, environment=self.environment)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_WITHIN,
        )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]


PRESENT = Version("product", ROOT)
