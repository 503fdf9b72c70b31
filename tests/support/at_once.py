"""Programs that begin what they do at the same time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from tests.support import commands
from tests.support.nodes import ROOT


def answers_at_once(program: str, arguments: Sequence[Sequence[str]], seconds: float = 60) -> list[str]:
    """What programs print after `ready`, each run with its own arguments, once all of them are ready.

    Each prints that line, then waits for one. They may not fail, nor say anything on stderr.
    """
    processes = [
        commands.Popen(
            [sys.executable, "-W", "error", "-c", program, *own],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for own in arguments
    ]  # fmt: skip
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=seconds) for process in processes]
        assert [errors for _, errors in answers] == [""] * len(processes)
        assert [process.returncode for process in processes] == [0] * len(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait(30)
    return [printed for printed, _ in answers]
