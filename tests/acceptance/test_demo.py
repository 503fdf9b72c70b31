"""The demo as a user runs it: all states are seen, the work is real, and nothing is left of it afterwards."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.nodes import descendants, is_running
from tests.support.tables import rarely

COMMAND = Path(sys.executable).with_name("taskscheduler")
MAIN = "import sys; from taskscheduler_daemon.demo.run import main; sys.exit(main(float(sys.argv[1]) or None))"
# its jobs compute for more than seven seconds of processor time, and a gate of eight processes on two processors
# leaves a demo an eighth of both: 60 s were measured beside seven others
SLOW = 200.0


def _read(stream: Any, lines: list[str]) -> None:
    with stream:
        lines.extend(stream)


class Demo:
    """A demo whose output goes to a pipe, and what belongs to it."""

    def __init__(self, tmp_path: Path, *, seconds: float = 0, command: bool = False) -> None:
        arguments = [sys.executable, "-c", MAIN, str(seconds)]
        if command:
            arguments = [str(COMMAND), "demo", *(["--seconds", str(seconds)] if seconds else [])]
        self.temporary = tmp_path / "tmp"
        self.temporary.mkdir()
        self.home = tmp_path / "home"
        env = {name: value for name, value in os.environ.items() if not name.startswith(("TASKSCHEDULER_", "XDG_"))}
        env |= {"TMPDIR": str(self.temporary), "HOME": str(self.home), "TASKSCHEDULER_URI": "mongodb://127.0.0.1:1/no"}
        # only the server binary may come from outside
        env |= {name: os.environ[name] for name in ("TASKSCHEDULER_MONGOD",) if name in os.environ}
        self.process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True
        )
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.family: set[int] = set()
        self._readers = [
            threading.Thread(target=_read, args=(stream, lines))
            for stream, lines in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def output(self) -> str:
        return "".join(list(self.lines))

    def note_family(self) -> set[int]:
        """Remember all processes: those below the demo, and the server, which is no child of anybody."""
        self.family |= set(descendants(self.process.pid)) | self._mentioning(str(self.temporary))
        return self.family

    def _mentioning(self, text: str) -> set[int]:
        found = set()
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and text.encode() in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
            except OSError:
                pass  # it has ended meanwhile
        return found

    def wait_for(self, pattern: str) -> None:
        """Wait until a line matches, for as long as the demo runs."""
        eventually(
            lambda: re.search(pattern, self.output, re.MULTILINE) or self.process.poll() is not None,
            SLOW,
            lambda: f"{pattern} in\n{self.output}{''.join(self.errors)}",
        )
        assert re.search(pattern, self.output, re.MULTILINE), self.output + "".join(self.errors)

    def end(self, within: float = 40.0) -> int:
        """Wait for the end; the exit code."""
        code = self.process.wait(within)
        for reader in self._readers:
            reader.join(10)
        return code

    def assert_nothing_left(self) -> None:
        assert len(self.family) > 3
        left = [pid for pid in self.family | self._mentioning(str(self.temporary)) if is_running(pid)]
        assert not left, [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
        assert list(self.temporary.iterdir()) == []
        assert not self.home.exists()
        assert [
            line
            for line in self.errors
            if not re.search("(waiting for )?the embedded MongoDB server (in|is not ready yet)", line)
        ] == []

    def destroy(self) -> None:
        for pid in (self.process.pid, *self.note_family()):
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)
        self.end()


@pytest.fixture
def demos() -> Iterator[list[Demo]]:
    started: list[Demo] = []
    yield started
    for demo in started:
        if demo.process.poll() is None:
            demo.destroy()


def test_all_states_are_shown_and_ctrl_c_leaves_nothing(tmp_path: Path, demos: list[Demo]) -> None:
    demo = Demo(tmp_path)
    demos.append(demo)
    demo.wait_for(r"^\d+ done, ")
    demo.note_family()
    demo.wait_for("Ctrl-C ends the demo")
    pasted = re.search(r"^Next, in another terminal.*:\n  (.+)$", demo.output, re.MULTILINE)
    assert pasted is not None
    elsewhere = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    listed = subprocess.run(["sh", "-c", pasted[1]], env=elsewhere, capture_output=True, text=True, timeout=30)
    assert (listed.returncode, listed.stderr, "WatchDirectory" in listed.stdout) == (0, "", True)
    demo.process.send_signal(signal.SIGINT)
    demo.process.send_signal(signal.SIGINT)
    assert demo.end() == 0, demo.output + "".join(demo.errors)
    assert "TASKSCHEDULER_URI is set, but" in demo.output
    assert re.search(r"^10 done, 1 failed, 1 timeout, 1 cancelled; CleanTemp runs every 5 s", demo.output, re.MULTILINE)
    assert "mail: 2 of 2 arrived" in demo.output
    assert "MB, identical" in demo.output
    for happened in (
        r"CopyFile +\+ done",
        r"Download +x failed +ConnectionError: the server said 503",
        r"Download +\+ done +8 MB fetched at try 2",
        r"ParseReport +x failed +JSONDecodeError",
        r"StretchKey +! timeout",
        r"PackLogs +- canceled +killed at \d+ %",
        r"SurviveKill +o waiting +WorkerLostError: .*SIGKILL",
        r"SurviveKill +\+ done",
        r"report_sizes +~ postponed",
        r"WatchDirectory +> processing",
        r"CleanTemp +\+ done",
    ):
        assert re.search(happened, demo.output), happened + " not in\n" + demo.output
    demo.assert_nothing_left()


@pytest.mark.faults  # another whole demo, and the one that Ctrl-C ends stands for it
@pytest.mark.skipif(not COMMAND.exists(), reason="the command is not installed")
def test_command_ends_by_itself_after_seconds(tmp_path: Path, demos: list[Demo]) -> None:
    demo = Demo(tmp_path, seconds=5, command=True)
    demos.append(demo)
    demo.wait_for("> processing")
    demo.note_family()
    began = time.monotonic()
    assert demo.end() == 0, demo.output + "".join(demo.errors)
    assert time.monotonic() - began < 30
    demo.assert_nothing_left()


@pytest.mark.parametrize("wait", [1.0, *rarely(0.3, 1.8)])
def test_sigterm_while_it_starts_leaves_nothing(tmp_path: Path, demos: list[Demo], wait: float) -> None:
    demo = Demo(tmp_path)
    demos.append(demo)
    demo.wait_for("^All of it lives in")
    threading.Event().wait(wait)
    demo.note_family()
    demo.process.send_signal(signal.SIGTERM)
    assert demo.end() == 0, demo.output + "".join(demo.errors)
    demo.family |= {0, 1 << 30, 1 << 31, 1 << 32}  # there may be few processes yet
    demo.assert_nothing_left()


def test_killed_demo_leaves_no_process(tmp_path: Path, demos: list[Demo]) -> None:
    demo = Demo(tmp_path)
    demos.append(demo)
    demo.wait_for("WatchDirectory +> processing")
    demo.note_family()
    demo.process.kill()
    demo.end()
    eventually(lambda: not any(is_running(pid) for pid in demo.family), 30, "all processes have ended")


def test_without_a_server(tmp_path: Path, demos: list[Demo], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKSCHEDULER_MONGOD", str(tmp_path / "none"))
    demo = Demo(tmp_path, command=COMMAND.exists())
    demos.append(demo)
    assert demo.end() != 0
    assert "TASKSCHEDULER_MONGOD" in "".join(demo.errors)
    assert list(demo.temporary.iterdir()) == []
