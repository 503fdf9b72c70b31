"""A node uses the embedded server only if somebody says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskscheduler import InvalidOptionError
from taskscheduler_daemon import start_node
from taskscheduler_daemon.cli import main


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TASKSCHEDULER_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("more", [[], ["--jobs", "a"], ["--pidfile", "x.pid"], ["--daemonize", "--pidfile", "x.pid"]])
def test_a_node_without_a_database_is_refused_with_both_cures(
    more: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKSCHEDULER_STATE_DIR", str(tmp_path / "state"))
    assert main(["node", *more]) == 2
    said = capsys.readouterr().err
    assert "--uri or TASKSCHEDULER_URI" in said
    assert "--embedded" in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []  # neither a server nor a pidfile


@pytest.mark.parametrize("where", ["option", "environment"])
def test_a_uri_and_the_embedded_server_exclude_each_other(
    where: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "environment":
        monkeypatch.setenv("TASKSCHEDULER_URI", "mongodb://host/app")
    assert main(["node", "--embedded", *(["-u", "mongodb://host/app"] if where == "option" else [])]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_a_node_in_the_background_is_refused_at_the_call(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError, match="give uri, set TASKSCHEDULER_URI, or give embedded=True"):
        start_node(tmp_path / "pid")
    assert not (tmp_path / "pid").exists()


def test_stop_needs_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["node", "stop", "--pidfile", str(tmp_path / "pid")]) == 3
    assert "no node runs" in capsys.readouterr().err
