"""Log files that were renamed while standard output or error went to them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import logging, os, sys
from taskscheduler_daemon.system.log_files import remember_log_files, reopen_log_files
logging.basicConfig(level=logging.WARNING)
print("files", remember_log_files())
print("one")
{between}
reopen_log_files()
print("two")
print("three", file=sys.stderr)
{after}
"""


def run(log: Path, between: str = "", after: str = "") -> None:
    """Runs a program with its output in a file; `between` is done before it opens the file again."""
    with log.open("w") as output:
        program = _PROGRAM.format(between=between, after=after)
        subprocess.run(
            [sys.executable, "-c", program],
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
            timeout=20,
            check=True,
            umask=0,
        )


def test_a_renamed_file_is_opened_again(tmp_path: Path) -> None:
    log, old = tmp_path / "node.log", tmp_path / "node.log.1"
    log.touch(0o640)
    run(log, f"os.rename({str(log)!r}, {str(old)!r})")
    assert old.read_text().split() == ["files", "True", "one"]
    assert sorted(log.read_text().split()) == ["three", "two"]
    assert stat.S_IMODE(log.stat().st_mode) == 0o640


def test_a_deleted_file_is_made_again(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    run(log, f"os.remove({str(log)!r})")
    assert sorted(log.read_text().split()) == ["three", "two"]


def test_a_file_that_the_rotation_has_made_is_taken(tmp_path: Path) -> None:
    log, old = tmp_path / "node.log", tmp_path / "node.log.1"
    run(log, f"os.rename({str(log)!r}, {str(old)!r}); open({str(log)!r}, 'w').write('new ')")
    assert sorted(log.read_text().split()) == ["new", "three", "two"]


def test_a_file_of_the_same_name_stays_open(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    run(log, after="import fcntl; assert not fcntl.fcntl(1, fcntl.F_GETFL) & os.O_APPEND")
    assert sorted(log.read_text().split()) == ["True", "files", "one", "three", "two"]


def test_a_fork_opens_what_the_file_was_called_before_it_was_renamed(tmp_path: Path) -> None:
    log, old = tmp_path / "node.log", tmp_path / "node.log.1"
    fork = "sys.stdout.flush(); pid = os.fork(); pid and (os.waitpid(pid, 0), os._exit(0))"
    run(log, f"os.rename({str(log)!r}, {str(old)!r}); {fork}")
    assert sorted(log.read_text().split()) == ["three", "two"]


@pytest.mark.parametrize("what", ["link", "folder"])
def test_the_old_file_stays_where_no_other_can_be_opened(tmp_path: Path, what: str) -> None:
    log, old, other = tmp_path / "node.log", tmp_path / "node.log.1", tmp_path / "other"
    other.touch()
    instead = f"os.symlink({str(other)!r}, {str(log)!r})" if what == "link" else f"os.mkdir({str(log)!r})"
    run(log, f"os.rename({str(log)!r}, {str(old)!r}); {instead}")
    assert other.read_text() == ""
    said = old.read_text()
    assert said.count("the log file cannot be opened again") == 2
    assert "two" in said
    assert "three" in said


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    program = _PROGRAM.format(between="", after="")
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert ran.stdout == "files False\none\ntwo\n"
    assert list(tmp_path.iterdir()) == []
