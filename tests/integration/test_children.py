"""What a test that fails leaves running is ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]

TEST = """
import subprocess
from pathlib import Path

import pytest

def start():
    child = subprocess.Popen(["sleep", "1000"])
    with Path({pids!r}).open("a") as pids:
        print(child.pid, file=pids)

def test_that_fails():
    start()
    assert not "here"

@pytest.fixture
def broken():
    start()
    raise ValueError("here")

def test_whose_fixture_fails(broken):
    pass
"""


def test_processes_of_a_test_that_fails_are_ended(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    (tmp_path / "test_it.py").write_text(TEST.format(pids=str(pids)))
    options = ["-q", "-p", "tests.support.children", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path / "test_it.py")]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "1 failed, 1 error" in found.stdout, found.stdout
    started = pids.read_text().split()
    assert len(started) == 2
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), 30, "no process is left")


def test_ctrl_c_reaches_the_processes_of_tests_that_run_in_the_background(tmp_path: Path) -> None:
    script = 'trap "" INT; exec "$@"'
    test = tmp_path / "test_it.py"
    test.write_text("import signal\ndef test_it(): assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN\n")
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command = ["sh", "-c", script, "sh", *pytest_here, "--rootdir", str(tmp_path), str(test)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stdout
