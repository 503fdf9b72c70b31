"""`taskscheduler web` as a process of its own, whose memory can be read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support import commands

MAIN = "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())"


class WebProcess:
    """The pages as a process, on a free port. `before` is a command that runs the command after it."""

    def __init__(self, uri: str, token: str | None = None, before: Sequence[str] = ()) -> None:
        environment = {**os.environ, "TASKSCHEDULER_URI": uri}
        environment |= {} if token is None else {"TASKSCHEDULER_WEB_TOKEN": token}
        command = [*before, sys.executable, "-c", MAIN, "web", "--port", "0"]
        self.process = commands.Popen(command, stderr=subprocess.PIPE, env=environment, text=True)
        assert self.process.stderr
        said = self.process.stderr.readline()
        found = re.search(r"(http://\S+:(\d+))/", said)
        if not found:
            self.process.kill()
            pytest.fail(f"no address: {said}{self.end()}")
        self.address, self.port = said.split()[-1], int(found[2])

    def memory(self, what: str) -> int:
        """VmRSS or VmHWM in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{what}:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    def end(self) -> str:
        """Ends it; returns its log."""
        self.process.terminate()
        try:
            return self.process.communicate(timeout=20)[1]
        finally:
            self.process.kill()
