"""Lines to paste: a shell gets what was meant, wherever it stands, and no password."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from taskscheduler_daemon.presentation import next_step
from taskscheduler_daemon.presentation.next_step import pasteable, same_database

_SAY = "import json, os, sys; print(json.dumps([os.getcwd(), os.environ.get('X'), sys.argv[1:]]))"


def test_a_shell_elsewhere_runs_what_was_meant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    odd = tmp_path / "it's a $HOME `dir`"
    odd.mkdir()
    command = odd / "the command"
    command.write_text(f"#!{sys.executable}\n{_SAY}\n")
    command.chmod(0o755)
    monkeypatch.setattr(next_step, "_command", lambda: str(command))
    line = pasteable(["add", '{"a": "b c"}', "$X"], {"X": "1; 2"}, odd)
    done = subprocess.run(["sh", "-c", line], cwd="/", capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [str(odd), "1; 2", ["add", '{"a": "b c"}', "$X"]]


def test_the_command_is_named_by_its_path() -> None:
    beside = Path(sys.executable).with_name("taskscheduler")
    assert pasteable(["list"], {}) == f"{beside if beside.exists() else 'taskscheduler'} list"


def test_a_uri_is_repeated_only_without_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TASKSCHEDULER_STATE_DIR", "TASKSCHEDULER_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    assert same_database("mongodb://host/app") == {"TASKSCHEDULER_URI": "mongodb://host/app"}
    assert same_database("mongodb://user:secret@host/app") == {}
    assert same_database("mongodb://host/app?tlsCertificateKeyFilePassword=secret") == {}
    assert same_database(None) == {}
    monkeypatch.setenv("TASKSCHEDULER_DATABASE", "x")
    assert same_database(None) == {"TASKSCHEDULER_DATABASE": "x"}
