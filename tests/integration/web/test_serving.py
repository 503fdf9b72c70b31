"""`taskscheduler web` as a process: it says where it listens, answers there, and ends when it is told to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from urllib.request import urlopen

import pytest

MAIN = "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())"
COMMAND = [sys.executable, "-c", MAIN, "web", "--port", "0"]
SECONDS = 30


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal(uri: str, number: signal.Signals) -> None:
    with subprocess.Popen([*COMMAND, "-u", uri], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            address = process.stderr.readline().split()[-1]
            with urlopen(f"{address}tasks", timeout=SECONDS) as answer:
                assert json.load(answer) == []
            process.send_signal(number)
            assert process.wait(SECONDS) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
