"""What is stored is the same in every process."""

from __future__ import annotations

import subprocess
import sys

import taskscheduler
from taskscheduler.model.uniqueness import once_key


def test_equal_sets_are_equal_data_in_every_process() -> None:
    """The order of a set of texts differs from process to process."""
    program = (
        "import sys, types\n"
        "sys.modules['taskscheduler'] = package = types.ModuleType('taskscheduler')  # alone, else it imports all\n"
        "package.__path__ = [sys.argv[1]]\n"
        "from taskscheduler.model.uniqueness import once_key\n"
        "print(once_key('mail', {'tags': {'a', 'b', 'c', 'd', 'e', 1, 2.5, (1, 'x'), None}}, False))"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", program, *taskscheduler.__path__],
            env={"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(1, 3)
    }
    assert keys == {once_key("mail", {"tags": {"e", "d", "c", "b", "a", None, (1, "x"), 2.5, 1}}, False) + "\n"}
