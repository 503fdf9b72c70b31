"""Jobs that read standard input, by themselves and through other programs."""

from __future__ import annotations

import os
import subprocess
import sys

from taskscheduler import Job

AT_IMPORT = sys.stdin.read() if sys.stdin is not None else None


class ReadsInput(Job):
    """Reads standard input in every way; returns what there was."""

    name = "reads_input"

    def start(self) -> list[object]:
        by_program = subprocess.run(["cat"], capture_output=True, check=True).stdout.decode()
        by_python = sys.stdin.read() if sys.stdin is not None else ""
        return [AT_IMPORT or "", os.read(0, 100).decode(), by_program, by_python, _asked()]


def _asked() -> str:
    try:
        return input("password: ")
    except (EOFError, RuntimeError):  # RuntimeError: there is none at all
        return "no answer"
