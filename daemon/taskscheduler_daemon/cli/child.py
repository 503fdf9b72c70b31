"""Runs a command that ends with the one that started it: `python -m taskscheduler_daemon.cli.child PID ARGUMENT...`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from taskscheduler_daemon.cli import main as run
from taskscheduler_daemon.system.node_subprocess import die_with_parent


def main(arguments: Sequence[str]) -> int:
    """Runs the command unless the parent has died; returns its exit code."""
    parent, *command = arguments
    return run(command) if die_with_parent(int(parent)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
