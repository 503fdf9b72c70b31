"""The soak as a command: what it says, what it leaves behind, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import processes
from tests.support.eventually import eventually
from tests.support.nodes import ROOT

pytestmark = pytest.mark.faults


class Soak:
    """The command, with a directory for temporary files of its own."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.temporary, self._output = directory / "temporary", directory / "output"
        self.temporary.mkdir()
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", "tests.faults", *arguments],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(self.temporary)},
                stdout=output,
                stderr=output,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def nodes_run(self) -> Path | None:
        """Where the histories are, once several processes write them."""
        assert self.process.poll() is None, self.output
        history = next(self.temporary.glob("*/history"), None)
        return history if history is not None and len(processes.of_run(history)) > 3 else None

    def __enter__(self) -> Soak:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGABRT)  # tells where it hangs
            self.process.wait(10)
            sys.stderr.write(self.output)


def test_a_run_without_faults_does_not_count(tmp_path: Path) -> None:
    with Soak(tmp_path, "--seconds", "3", "--seed", "1", "--only", "recycle workers") as soak:
        code = soak.process.wait(100)
        assert code == 2, soak.output
        assert "seed 1" in soak.output
        assert "0 lost" in soak.output
        assert "violations: 0" in soak.output
        assert list(soak.temporary.iterdir()) == []


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    with Soak(tmp_path, "--seconds", "60", "--seed", "1") as soak:
        history = eventually(soak.nodes_run, 60, "running nodes")
        soak.process.send_signal(signal.SIGINT)
        assert soak.process.wait(60) == 130, soak.output
        assert processes.of_run(history) == []
        assert list(soak.temporary.iterdir()) == []
