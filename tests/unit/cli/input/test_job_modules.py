"""The current directory among the places from which modules are imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from taskscheduler_daemon.cli.input.job_modules import look_here


def test_modules_are_found_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/elsewhere"])
    monkeypatch.chdir(tmp_path)
    look_here()
    look_here()
    assert sys.path == [str(tmp_path), "/elsewhere"]


def test_a_current_directory_that_was_removed_is_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/elsewhere"])
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    os.rmdir(gone)
    look_here()
    assert sys.path == ["/elsewhere"]
