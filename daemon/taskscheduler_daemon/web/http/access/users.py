"""The file of users: names, roles, and hashes of passwords and tokens. Only its owner may read it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.audit.actions import Role

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

_MOST_BYTES = 1024 * 1024


class UsersFileError(InvalidOptionError):
    """The file of users cannot be used; the text says why, and what helps."""


@dataclass(frozen=True, slots=True)
class User:
    """A user of the web pages."""

    name: str
    role: Role
    password: str | None = None  #: its hash; None for one that only has tokens, or that a proxy vouches for
    tokens: Mapping[str, str] = field(default_factory=dict)  #: hashes by their names

    def stored(self) -> dict[str, Any]:
        """Returns the user as it stands in the file."""
        secret = {} if self.password is None else {"password": self.password}
        return {"role": self.role.label, **secret, **({"tokens": dict(self.tokens)} if self.tokens else {})}


Users = Mapping[str, User]


def check_name(name: str) -> str:
    """Returns the name of a user; InvalidOptionError for one that is none."""
    if not NAME.fullmatch(name):
        raise InvalidOptionError(
            f"the name of a user must have 1 to 64 letters, digits and characters of .@_-, and begin with a letter or "
            f"a digit, not {name!r:.80}"
        )
    return name


def read_users(path: Path) -> Users:
    """Returns the users of a file; UsersFileError if it cannot be read, is no such file, or others may read it."""
    try:
        with open(path, "rb") as file:
            _check_rights(path, os.fstat(file.fileno()))
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(text) > _MOST_BYTES:
        raise UsersFileError(f"the file of users {path} has more than {_MOST_BYTES} bytes")
    return _parsed(path, text)


def _unreadable(path: Path, error: OSError) -> UsersFileError:
    missing = isinstance(error, FileNotFoundError)
    hint = f"; make it with: taskscheduler web-user add NAME --users {path}" if missing else ""
    return UsersFileError(f"cannot read the file of users {path}: {error.strerror}{hint}")


def _check_rights(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UsersFileError(f"the file of users {path} is no regular file")
    if found.st_uid != os.geteuid():
        raise UsersFileError(
            f"the file of users {path} belongs to another user; run: chown {os.geteuid()} {path}, "
            "or let its owner serve the pages"
        )
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise UsersFileError(
            f"others can read or write the file of users {path} (mode {mode:03o}); run: chmod 600 {path}"
        )


def _parsed(path: Path, text: bytes) -> Users:
    try:
        stored = json.loads(text)["users"]
        return {check_name(name): _user(name, given) for name, given in stored.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsersFileError(
            f"the file of users {path} is damaged: {error!s:.200}; restore it, or make a new one"
        ) from error


def _user(name: str, given: Mapping[str, Any]) -> User:
    password, tokens = given.get("password"), given.get("tokens", {})
    texts = [*tokens, *tokens.values(), *([] if password is None else [password])]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"what is stored of {name} is no text")
    return User(name, Role.of(f"role of {name}", given.get("role")), password, dict(tokens))


@contextmanager
def changing(path: Path) -> Iterator[dict[str, User]]:
    """Gives the users of a file to change, and writes them back at once and whole. One process at a time."""
    folder = path.resolve().parent
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UsersFileError(f"cannot write the file of users {path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        users = dict(read_users(path)) if path.exists() else {}
        yield users
        _write(path.resolve(), users)
    except OSError as error:
        raise UsersFileError(f"cannot write the file of users {path}: {error.strerror}") from error
    finally:
        os.close(lock)


def _write(path: Path, users: Users) -> None:
    text = json.dumps({"users": {name: users[name].stored() for name in sorted(users)}}, indent=2) + "\n"
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # readable by its owner alone
    try:
        with open(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


class UsersFile:
    """The users of a file, read again when it has changed. Safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[tuple[int, int, int], Users] | None = None

    def users(self) -> Users:
        """Returns the users as they stand in the file now; UsersFileError: then nobody gets in."""
        known, seen = self._known, self._look()
        if known is None or known[0] != seen:
            known = seen, read_users(self._path)
            self._known = known
        return known[1]

    def _look(self) -> tuple[int, int, int]:
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise _unreadable(self._path, error) from error
        _check_rights(self._path, found)
        return found.st_ino, found.st_mtime_ns, found.st_size
