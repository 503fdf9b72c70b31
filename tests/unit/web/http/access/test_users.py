"""The file of users: only its owner may read it, and a change is whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskscheduler.model.audit.actions import Role
from taskscheduler_daemon.web.http.access import passwords
from taskscheduler_daemon.web.http.access.passwords import hashed, verifies
from taskscheduler_daemon.web.http.access.users import User, UsersFile, UsersFileError, changing, read_users

ANA = User("ana", Role.OPERATOR, "scrypt$1", {"ci": "abc"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with changing(tmp_path / "users.json") as users:
        users["ana"] = ANA
    return tmp_path / "users.json"


def test_what_was_written_is_read_by_its_owner_alone(path: Path) -> None:
    assert read_users(path) == {"ana": ANA}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["users.json"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_can_read_or_write_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(UsersFileError, match=r"others can read or write .* \(mode 6\d\d\); run: chmod 600 /"):
        read_users(path)


def test_a_file_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(UsersFileError, match="belongs to another user; run: chown"):
        read_users(path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"users": []}', '{"users": {"ana": {}}}', '{"users": {"ana": {"role": "god"}}}',
             '{"users": {"a b": {"role": "admin"}}}', '{"users": {"ana": {"role": "admin", "password": 7}}}',
             '{"users": {"ana": {"role": "admin", "tokens": {"ci": 7}}}}', "\udcff"]
)  # fmt: skip
def test_a_damaged_file_lets_nobody_in(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsersFileError, match=r"damaged|must be one of|name of a user"):
        read_users(path)


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UsersFileError, match="make it with: taskscheduler web-user add NAME --users "):
        read_users(tmp_path / "none.json")


def test_a_change_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UsersFileError, match=r"cannot write .* No space left on device"), changing(path) as users:
        users.clear()
    assert read_users(path) == {"ana": ANA}
    assert [one.name for one in path.parent.iterdir()] == ["users.json"]


def test_changes_are_seen_at_once_and_so_are_wrong_rights(path: Path) -> None:
    file = UsersFile(path)
    assert set(file.users()) == {"ana"}
    with changing(path) as users:
        users["ben"] = User("ben", Role.ADMIN)
    assert set(file.users()) == {"ana", "ben"}
    path.chmod(0o644)
    with pytest.raises(UsersFileError):
        file.users()


def test_passwords_are_salted_and_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hashed("correct horse").startswith("scrypt$16384$8$5$"), "as slow as it should be"
    monkeypatch.setattr(passwords, "_COST", 16)
    one, other = hashed("correct horse"), hashed("correct horse")
    assert one != other
    assert verifies("correct horse", one)
    assert not verifies("correct horsf", one)
    assert not any(verifies("", broken) for broken in ("", "scrypt$1", "scrypt$a$8$5$x$y", "scrypt$3$8$5$AAAA$AAAA"))
