"""The files of the embedded server, and the contents of those that its processes share."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from taskscheduler.errors import EmbeddedServerError

STATE_VARIABLE = "TASKSCHEDULER_STATE_DIR"

HOST = "127.0.0.1"

REPLICA_SET = "taskscheduler"

DATABASE = "taskscheduler"  #: of programs that ask for the server, not for the database of their project

#: the user that every mongod with a key file has: it needs no document, so data of earlier versions need no change
USER = "__system"

LOGIN = {"authSource": "local", "authMechanism": "SCRAM-SHA-256"}

_KEY = re.compile("[0-9a-f]{64}")

LONGEST_QUOTE = 300

LOG_LIMIT = 10 * 1024 * 1024


@dataclass(frozen=True)
class ServerAddress:
    """The address of a ready server, as its keeper publishes it."""

    keeper_pid: int
    mongod_pid: int
    host: str
    port: int
    replica_set: str
    version: str

    def uri_of(self, database: str, key: str | None) -> str:
        """Returns the MongoDB URI of a database on the server, with the key as password if the server demands one."""
        place = f"{self.host}:{self.port}/{database}?replicaSet={self.replica_set}"
        if key is None:
            return f"mongodb://{place}"
        login = "&".join(f"{option}={value}" for option, value in LOGIN.items())
        return f"mongodb://{USER}:{key}@{place}&{login}"


def default_state_dir() -> Path:
    """Returns TASKSCHEDULER_STATE_DIR, else taskscheduler/ in XDG_STATE_HOME, else ~/.local/state/taskscheduler."""
    if named := os.environ.get(STATE_VARIABLE):
        return Path(named)
    # The XDG specification says to ignore relative paths.
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        return (base if base.is_absolute() else Path.home() / ".local" / "state") / "taskscheduler"
    except RuntimeError as error:
        raise EmbeddedServerError(f"{error}; name a directory with TASKSCHEDULER_STATE_DIR") from error


class StateDir:
    """The files of one state directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.mongod_log = root / "mongod.log"
        self.keeper_log = root / "keeper.log"
        self.users_lock = root / "users.lock"
        self.keeper_lock = root / "keeper.lock"
        self.start_lock = root / "start.lock"
        self.data_lock = root / "data.lock"
        self.key_file = root / "key"
        self._server = root / "server.json"
        self._port = root / "port"

    def published(self) -> ServerAddress | None:
        """Returns the server's address, None if there is none or the file is not valid."""
        try:
            return ServerAddress(**json.loads(self._server.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def publish(self, address: ServerAddress) -> None:
        """Publishes the address; readers see it whole or not at all."""
        _replace(self._server, json.dumps(asdict(address)))

    def withdraw(self) -> None:
        """Removes the published address."""
        self._server.unlink(missing_ok=True)

    def key(self) -> str | None:
        """Returns the key, None if there is none or the file is not valid."""
        try:
            found = self.key_file.read_text().strip()
        except (OSError, ValueError):
            return None
        return found if _KEY.fullmatch(found) else None

    def ensure_key(self) -> str:
        """Returns the key, which the server and its clients share; makes one if there is none. For this user alone."""
        key = self.key()
        if key is None:
            key = secrets.token_hex(32)
            _replace(self.key_file, key)
        self.key_file.chmod(0o600)  # mongod refuses one that others may read
        return key

    def member_port(self) -> int | None:
        """Returns the port in the stored replica set configuration, None if it is not certain."""
        try:
            return int(self._port.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def remember_member_port(self, port: int) -> None:
        """Notes that the stored replica set configuration has this port."""
        _replace(self._port, str(port))

    def forget_member_port(self) -> None:
        """Notes that the stored replica set configuration is about to change."""
        self._port.unlink(missing_ok=True)


def open_state_dir(root: Path | str | None) -> StateDir:
    """Opens the state directory; creates it for this user alone if it is missing.

    Raises EmbeddedServerError if it belongs to another user, if every user may write to it, or if this one may not.
    """
    path = Path(default_state_dir() if root is None else root).expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as error:
        raise EmbeddedServerError(f"the state directory {path} cannot be created: {error}; {_WAY_OUT}") from error
    if found.st_uid != os.geteuid():
        raise EmbeddedServerError(
            f"the state directory {path} belongs to another user (uid {found.st_uid}); {_WAY_OUT}"
        )
    if found.st_mode & stat.S_IWOTH:
        raise EmbeddedServerError(
            f"every user of this host may write to the state directory {path}; run chmod o-w on it, or {_WAY_OUT}"
        )
    if not os.access(path, os.W_OK | os.X_OK):
        raise EmbeddedServerError(f"the state directory {path} is not writable; {_WAY_OUT}")
    return StateDir(path.resolve())


_WAY_OUT = "name another one with TASKSCHEDULER_STATE_DIR"


def log_size(log: Path) -> int:
    """Returns the number of bytes that are in a log by now."""
    return log.stat().st_size if log.exists() else 0


def last_line(log: Path, start: int = 0) -> str:
    """Returns the last line of a log after byte `start`, of an entry of mongod what it says; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - 65536))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return shorten(_said(next((line.strip() for line in reversed(lines) if line.strip()), "")))


def _said(line: str) -> str:
    """Returns the message and the error of an entry of mongod, which is a line of JSON; any other line as it is."""
    try:
        entry = json.loads(line)
        return ": ".join(str(part) for part in (entry["msg"], entry.get("attr", {}).get("error")) if part is not None)
    except (ValueError, TypeError, LookupError, AttributeError):
        return line


def shorten(text: str) -> str:
    """Cuts a text that is too long for an error message."""
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "..."


def open_log(log: Path) -> BinaryIO:
    """Opens a log for appending, readable by this user alone; raises EmbeddedServerError if it is a link."""
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise EmbeddedServerError(f"the log {log} cannot be opened: {error.strerror}; {_WAY_OUT}") from error
    os.fchmod(descriptor, 0o600)  # an earlier version has left it readable
    return os.fdopen(descriptor, "ab")


def trim(log: Path) -> None:
    """Deletes a log that has grown too large; call it only while nothing writes to it."""
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.unlink()


def _replace(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
