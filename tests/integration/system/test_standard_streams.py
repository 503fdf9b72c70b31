"""Processes are started whatever state the standard streams of their parent are in."""

from __future__ import annotations

import subprocess
import sys

from tests.support import commands
from tests.support.standard_streams import STREAMS

#: a test may not fork itself, as it may have threads
_PROGRAM = """
import os, sys
from taskscheduler_daemon.system.reap import wait_for
from taskscheduler_daemon.system.spawn import spawn
from tests.support.standard_streams import STREAMS
for make in STREAMS.values():
    sys.stdout = make()
    sys.stderr.write(str(wait_for(spawn(lambda: 7, title="test", keep=[], die_with_parent=False)).code))
sys.stderr.flush()
os._exit(0)
"""


def test_a_process_is_started_all_the_same() -> None:
    ran = commands.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "7" * len(STREAMS))
