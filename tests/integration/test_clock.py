"""The clock of a program that a test has frozen before it imports the product."""

from __future__ import annotations

import subprocess
import sys

_FROZEN = """
import time
time.monotonic = lambda: 5.0  # as a library does that freezes time for a test
from taskscheduler.clock import SYSTEM_CLOCK, Deadline
began, deadline = SYSTEM_CLOCK.monotonic(), Deadline(0.05)
while not deadline.passed:
    SYSTEM_CLOCK.pause(0.01)
print(SYSTEM_CLOCK.monotonic() - began >= 0.05)
"""


def test_time_goes_on_where_a_test_has_frozen_the_clock_before_the_import() -> None:
    ran = subprocess.run([sys.executable, "-c", _FROZEN], capture_output=True, text=True, timeout=10, check=True)
    assert ran.stdout == "True\n"
