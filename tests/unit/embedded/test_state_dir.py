"""The files of a state directory: what processes share in them, and what is wrong with a directory."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pymongo.uri_parser import parse_uri

from taskscheduler import EmbeddedServerError
from taskscheduler.embedded import server
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
from taskscheduler.store.client import redacted

ADDRESS = ServerAddress(1, 2, "127.0.0.1", 27017, "taskscheduler", "6.0.5")


def test_an_address_is_read_as_it_was_published_until_it_is_withdrawn(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    assert state.published() is None
    state.publish(ADDRESS)
    assert StateDir(tmp_path).published() == ADDRESS
    assert ADDRESS.uri_of("app", None) == "mongodb://127.0.0.1:27017/app?replicaSet=taskscheduler"
    state.withdraw()
    state.withdraw()
    assert state.published() is None


def test_the_published_file_is_one_that_every_version_reads(tmp_path: Path) -> None:
    """An unknown field would make version 0.1.0 wait for an address that it understands."""
    StateDir(tmp_path).publish(ADDRESS)
    fields = {"keeper_pid", "mongod_pid", "host", "port", "replica_set", "version"}
    assert json.loads((tmp_path / "server.json").read_text()).keys() == fields


def test_a_uri_has_the_key_only_for_a_server_that_demands_it() -> None:
    key = "0" * 64
    found = parse_uri(ADDRESS.uri_of("app", key), warn=False)
    assert (found["username"], found["password"], found["database"]) == ("__system", key, "app")
    assert "authSource=local" in ADDRESS.uri_of("app", key)
    assert redacted(ADDRESS.uri_of("app", key)).count("***") == 1
    assert key not in redacted(ADDRESS.uri_of("app", key))


def test_the_key_is_made_once_and_for_this_user_alone(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    assert state.key() is None
    before = os.umask(0)
    try:
        key = state.ensure_key()
    finally:
        os.umask(before)
    assert StateDir(tmp_path).ensure_key() == StateDir(tmp_path).key() == key
    assert state.key_file.stat().st_mode & 0o777 == 0o600
    state.key_file.chmod(0o644)
    assert state.ensure_key() == key
    assert state.key_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"0" * 63, b"0" * 65, b"\xff" * 64, b"g" * 64])
def test_a_key_that_was_damaged_is_made_anew(tmp_path: Path, content: bytes) -> None:
    state = StateDir(tmp_path)
    state.key_file.write_bytes(content)
    (tmp_path / "key.new").write_bytes(b"half of")  # left by a process that was killed
    assert state.key() is None
    assert len(state.ensure_key()) == 64
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key"]


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


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_directory_in_which_everybody_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Somebody else could put a key there that he knows."""
    tmp_path.chmod(mode)
    with pytest.raises(
        EmbeddedServerError, match=r"every user of this host may write.*chmod o-w.*TASKSCHEDULER_STATE_DI"
    ):
        open_state_dir(tmp_path)
    tmp_path.chmod(mode & ~0o002)
    assert open_state_dir(tmp_path).root == tmp_path


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


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"t":{"$date":"2026"},"s":"I","msg":"Started","attr":{"error":"it is in use"}}', "Started: it is in use"),
        ('{"msg":"Started","attr":{"port":1}}', "Started"),
        ('{"msg":"Started"}', "Started"),
        ('{"msg":"Started","attr":[1]}', '{"msg":"Started","attr":[1]}'),
        ('{"t":1}', '{"t":1}'),
        ('{"msg":"cut', '{"msg":"cut'),
        ("[1]", "[1]"),
        ("7", "7"),
    ],
)
def test_an_entry_of_the_server_is_quoted_by_what_it_says(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "log").write_text(line)
    assert last_line(tmp_path / "log") == said


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


def test_a_start_that_takes_long_is_explained_by_what_mongod_does(tmp_path: Path) -> None:
    state = open_state_dir(tmp_path / "state")
    timeout = server._AcquireTimeout(state, 30)
    assert "last log line: nothing was logged yet" in timeout.failure()
    state.keeper_log.write_text("what mongod prints before it has a log\n")
    assert "last log line: what mongod prints before it has a log" in timeout.failure()
    state.mongod_log.write_text('{"msg": "Opening WiredTiger"}\n')
    assert "last log line: Opening WiredTiger" in timeout.failure()
