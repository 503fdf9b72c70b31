"""Which pidfiles name a process that runs, and which are stale."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import commands
from tests.support.eventually import eventually

from taskscheduler.errors import WaitTimeoutError
from taskscheduler.process_identity import started_at
from taskscheduler_daemon import background
from taskscheduler_daemon.background import start_node, stop_node
from taskscheduler_daemon.system import pidfile
from taskscheduler_daemon.system.pidfile import Pidfile, PidfileError

_HOLD = """
import signal, sys
from taskscheduler_daemon.system.pidfile import Pidfile
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2:] else lambda *_: sys.exit(0))
file = Pidfile(sys.argv[1])
file.acquire()
file.write()
print("held", flush=True)
while True:
    signal.pause()
"""


class Holder:
    """A process that holds a pidfile until SIGTERM, or ignores it if it is `stubborn`."""

    def __init__(self, path: Path, stubborn: bool = False) -> None:
        command = [sys.executable, "-c", _HOLD, str(path), *(["stubborn"] if stubborn else [])]
        self.process = commands.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.pid"


@pytest.fixture
def holder(path: Path) -> Iterator[Holder]:
    holder = Holder(path)
    yield holder
    holder.kill()


def test_a_file_names_its_process_as_long_as_that_runs(path: Path, holder: Holder) -> None:
    assert path.read_text().splitlines()[0] == str(holder.process.pid)
    assert Pidfile(path).owner() == holder.process.pid
    with pytest.raises(PidfileError, match=f"is in use: process {holder.process.pid} runs"):
        Pidfile(path).acquire()
    holder.kill()
    assert path.exists()
    assert Pidfile(path).owner() is None


def test_a_stale_file_is_taken_over_and_removed_at_the_end(path: Path, holder: Holder) -> None:
    holder.kill()
    file = Pidfile(path)
    file.acquire()
    file.write()
    assert Pidfile(path).owner() == os.getpid()
    file.release()
    assert not path.exists()


def test_a_number_that_another_process_has_by_now_is_not_taken_for_the_one_that_wrote_it(path: Path) -> None:
    file = Pidfile(path)
    file.acquire()
    file.write()
    wrong = path.read_text().replace(f"start={started_at(os.getpid())}", "start=1")
    path.write_text(wrong)
    assert Pidfile(path).owner() is None
    file.release()


@pytest.mark.parametrize("text", ["", "0\n", "-1\n", "text\n", "1 2\n", "9" * 300])
def test_what_is_no_pidfile_names_nobody(path: Path, text: str) -> None:
    file = Pidfile(path)
    file.acquire()
    path.write_text(text)
    assert Pidfile(path).owner() is None
    file.release()


def test_a_link_or_a_directory_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep")
    path.symlink_to(tmp_path / "precious")
    for place in (path, tmp_path):
        with pytest.raises(PidfileError, match="cannot be used as a pidfile"):
            Pidfile(place).acquire()
    assert (tmp_path / "precious").read_text() == "keep"


def test_a_file_that_was_replaced_is_not_removed(path: Path) -> None:
    file = Pidfile(path)
    file.acquire()
    path.unlink()
    path.write_text("of somebody else")
    file.release()
    assert path.read_text() == "of somebody else"


def test_stopping_ends_the_process_and_removes_the_file(path: Path, holder: Holder) -> None:
    assert stop_node(path, 10) is True
    assert holder.process.wait(30) == 0
    assert not path.exists()
    assert stop_node(path, 10) is False


def test_stopping_removes_a_stale_file_and_kills_nobody(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as other:
        path.write_text(f"{other.pid}\n")  # nobody holds its lock, so this process is not meant
        try:
            assert stop_node(path, 1) is False
            assert other.poll() is None
        finally:
            other.kill()
    assert not path.exists()


def test_stopping_says_when_it_takes_too_long(path: Path) -> None:
    holder = Holder(path, stubborn=True)
    try:
        with pytest.raises(WaitTimeoutError, match=rf"node {holder.process.pid} has not ended within 0\.2 seconds"):
            stop_node(path, 0.2)
    finally:
        holder.kill()


def test_a_process_has_one_time_of_start_until_it_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        first = started_at(process.pid)
        assert first
        assert started_at(process.pid) == first
        process.send_signal(signal.SIGKILL)
        eventually(lambda: started_at(process.pid) is None)


def test_who_only_looks_at_a_file_keeps_nobody_from_taking_it(path: Path) -> None:
    path.write_text("")
    with path.open() as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_EX)
        timer = threading.Timer(0.1, fcntl.flock, (looked_at, fcntl.LOCK_UN))
        timer.start()
        file = Pidfile(path)
        file.acquire()
        timer.join()
    file.release()


def test_a_file_is_for_this_user_alone_also_if_it_was_not_before(path: Path) -> None:
    path.touch()
    path.chmod(0o666)
    for _ in range(2):  # left by an earlier version, and new
        file = Pidfile(path)
        file.acquire()
        assert path.stat().st_mode & 0o777 == 0o600
        file.release()


def test_a_file_with_another_name_or_a_pipe_is_not_used(path: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep")
    os.link(tmp_path / "precious", path)
    os.mkfifo(tmp_path / "pipe")
    for place in (path, tmp_path / "pipe"):
        with pytest.raises(PidfileError, match="not a file with a single name"):
            Pidfile(place).acquire()
    assert (tmp_path / "precious").read_text() == "keep"


def test_stopping_signals_nobody_whom_somebody_else_has_named_in_a_locked_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pidfile, "_MOST_LOOKS", 1)
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as victim, path.open("w") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        try:
            for start in ("", f"start={started_at(victim.pid)}\n"):
                path.write_text(f"{victim.pid}\n{start}")
                assert Pidfile(path).owner() is None
                assert stop_node(path, 1) is False
            assert victim.poll() is None
        finally:
            victim.kill()


def test_a_process_that_only_has_the_file_open_is_not_its_owner(path: Path) -> None:
    path.touch()
    with path.open() as read, path.open() as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        code = "import signal, sys; print(flush=True); signal.pause()"
        with subprocess.Popen([sys.executable, "-c", code], stdin=read, stdout=subprocess.PIPE) as reader:
            path.write_text(f"{reader.pid}\nstart={started_at(reader.pid)}\n")
            try:
                assert Pidfile(path).owner() is None
            finally:
                reader.kill()


def test_a_lock_that_was_inherited_makes_the_owner(path: Path) -> None:
    path.touch()
    with path.open("r+") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], stdin=locked) as heir:
            path.write_text(f"{heir.pid}\n")
            try:
                assert Pidfile(path).owner() == heir.pid
            finally:
                heir.kill()


def test_a_node_that_somebody_else_starts_runs_however_long_that_took(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = iter([None, 7, 7])
    monkeypatch.setattr(Pidfile, "owner", lambda self: next(owners))
    monkeypatch.setattr(background, "_refusal", lambda *_: f"{path} {pidfile.IN_USE}: process 7 runs")
    monkeypatch.setattr(background, "_OTHERS_START_WITHIN", 0.0)
    assert start_node(path, "mongodb://127.0.0.1:9/none") is False
