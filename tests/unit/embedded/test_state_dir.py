"""The files of a state directory: what processes share in them, and what is wrong with a directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskscheduler import EmbeddedServerError
from taskscheduler.embedded.state_dir import (
    LOG_LIMIT,
    ServerAddress,
    StateDir,
    default_state_dir,
    last_line,
    open_log,
    open_state_dir,
    shorten,
    trim,
)

ADDRESS = ServerAddress(1, 2, "127.0.0.1", 27017, "taskscheduler", "6.0.5")


def test_an_address_is_read_as_it_was_published_until_it_is_withdrawn(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    assert state.published() is None
    state.publish(ADDRESS)
    assert StateDir(tmp_path).published() == ADDRESS
    assert ADDRESS.uri == "mongodb://127.0.0.1:27017/taskscheduler?replicaSet=taskscheduler"
    state.withdraw()
    state.withdraw()
    assert state.published() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"port": 1}', '{"unknown": 1}'])
def test_a_file_that_is_not_understood_is_no_address(tmp_path: Path, content: str) -> None:
    (tmp_path / "server.json").write_text(content)
    assert StateDir(tmp_path).published() is None


def test_the_port_of_the_member_is_known_only_as_long_as_it_is_certain(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    assert state.member_port() is None
    state.remember_member_port(4711)
    assert state.member_port() == 4711
    state.forget_member_port()
    assert state.member_port() is None
    (tmp_path / "port").write_text("?")
    assert state.member_port() is None


def test_the_directory_is_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.delenv("TASKSCHEDULER_STATE_DIR", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert default_state_dir() == Path("/home/u/.local/state/taskscheduler")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_state_dir() == Path("/home/u/.local/state/taskscheduler")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_state_dir() == Path("/state/taskscheduler")
    monkeypatch.setenv("TASKSCHEDULER_STATE_DIR", str(tmp_path))
    assert default_state_dir() == tmp_path


def test_a_directory_is_made_for_its_user_alone(tmp_path: Path) -> None:
    state = open_state_dir(tmp_path / "a" / "b")
    assert state.root == tmp_path / "a" / "b"
    assert state.root.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_made_is_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        EmbeddedServerError, match=r"cannot be created: .*; name another one with TASKSCHEDULER_STATE_DI"
    ):
        open_state_dir(tmp_path / "file" / "below")


def test_the_last_line_with_text_is_quoted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_text("old\n")
    start = log.stat().st_size
    assert (last_line(log), last_line(log, start)) == ("old", "")
    log.write_bytes(b"old\nnew \xff line\n  \n")
    assert last_line(log, start) == "new \ufffd line"
    log.write_text("x" * 1000)
    assert last_line(log) == "x" * 300 + "..."
    assert shorten("x" * 300) == "x" * 300


@pytest.mark.parametrize(("size", "kept"), [(LOG_LIMIT, True), (LOG_LIMIT + 1, False)])
def test_only_a_log_that_has_grown_too_large_is_deleted(tmp_path: Path, size: int, kept: bool) -> None:
    log = tmp_path / "log"
    trim(log)
    with log.open("wb") as file:
        file.truncate(size)
    trim(log)
    assert log.exists() == kept


def test_a_log_is_for_this_user_alone_also_if_it_was_not_before(tmp_path: Path) -> None:
    for name, before in (("new.log", None), ("old.log", 0o666)):
        if before is not None:
            (tmp_path / name).touch(before)
            (tmp_path / name).chmod(before)
        with open_log(tmp_path / name) as log:
            log.write(b"line\n")
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        assert last_line(tmp_path / name) == "line"


def test_a_log_that_is_a_link_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep")
    (tmp_path / "keeper.log").symlink_to(tmp_path / "precious")
    with pytest.raises(EmbeddedServerError, match="cannot be opened"):
        open_log(tmp_path / "keeper.log")
    assert (tmp_path / "precious").read_text() == "keep"
