"""What a forked child shares with its parent; in processes of their own, since a test may have threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import gc
from taskscheduler_daemon.system.reap import wait_for
from taskscheduler_daemon.system.spawn import spawn
def main():
    return 1 if gc.get_freeze_count() < 1000 else 0
print(wait_for(spawn(main, title="test", keep=[], die_with_parent=False)).code, gc.get_freeze_count())
"""


def test_a_child_collects_nothing_that_it_shares_and_the_parent_goes_on_to_collect_it() -> None:
    root = Path(__file__).parents[3]
    ended = subprocess.run([sys.executable, "-c", _PROGRAM], cwd=root, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["0", "0"], ended
