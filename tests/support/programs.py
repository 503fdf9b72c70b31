"""Programs that no node runs and that keep record of themselves, as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support import commands
from tests.support.nodes import ROOT

_TRACKED = """
import json, sys
from taskscheduler import AlreadyRunningError, Scheduler
uri, name, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with Scheduler(uri) as scheduler:
    scheduler.flush("nothing")
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        with scheduler.track(name, **options) as record:
            print("started", record.id, flush=True)
            sys.stdin.readline()
    except AlreadyRunningError as error:
        print("refused", error, flush=True)
"""


class Program:
    """Says `ready`; then each line that it is told brings it on: to start its record, and to end it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def told(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@contextmanager
def tracked_program(uri: str, name: str, options: str = "{}", **popen: Any) -> Iterator[Program]:
    """A program with a record of this name and options (as JSON), killed in the end if it is still there."""
    process = commands.Popen(
        [sys.executable, "-c", _TRACKED, uri, name, options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **popen,
    )
    with process:
        try:
            program = Program(process)
            assert program.says() == "ready"
            yield program
        finally:
            process.kill()
