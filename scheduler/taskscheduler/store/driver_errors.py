"""Names the errors of the store, decides which operations may be tried again, and words them for users."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WriteError,
)

from taskscheduler.errors import AuthenticationError, DatabaseError, DatabaseUnavailableError

StoreError = PyMongoError  #: raised by all operations of the store that do not use `translated`

StoreUnreachableError = ServerSelectionTimeoutError  #: no usable server was found in time

_UNAUTHORIZED = 13  #: this user may not do it, or nobody has logged in

_REFUSED_LOGIN = {_UNAUTHORIZED, 18, 8000, 33}

#: the server may or may not have carried out the operation; every write of this library is safe to repeat
_TRANSIENT_CODES = {6, 7, 64, 89, 91, 112, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436, 50, 133, 134}

_BATCH_ERRORS = ("writeErrors", "writeConcernErrors")

#: the document itself is malformed or too large
_BAD_DOCUMENT_CODES = {9, 22, 10334, 17280, 17419, 17420}


_TOO_LARGE_CODES = {10334, 17280, 17419, 17420}

#: findAndModify cannot change the document: a number that is none, a path through a text, an index key of two lists
_REFUSED_CHANGE_CODES = {14, 28, 171}

_BAD_VALUE, _BAD_HINT = 2, "hint provided does not correspond to an existing index"

_NO_SESSIONS = "Sessions are not supported"

_BRIEF = 200  #: characters; the driver's view of all servers follows, which can fill pages


class NoIndexAllowedError(OperationFailure):
    """A job needs an index that this user may not make; the text says what helps."""

    def __init__(self, text: str, cause: Exception) -> None:
        super().__init__(text, _UNAUTHORIZED, getattr(cause, "details", None))
        self.text = text


def is_missing_index(error: BaseException) -> bool:
    """Whether an index is missing that the command names. Nodes make it again as soon as they miss it."""
    return isinstance(error, OperationFailure) and error.code == _BAD_VALUE and _BAD_HINT in details_of(error)


def is_between_roles(error: BaseException) -> bool:
    """Whether a member of the replica set was neither primary nor secondary, as it is for a moment in an election.

    The driver then takes it for a server without sessions, and does not try again what names one.
    """
    return isinstance(error, ConfigurationError) and _NO_SESSIONS in str(error)


def is_transient(error: BaseException) -> bool:
    """Whether the same operation may succeed when it is tried again (elections, cut connections, full queues)."""
    if is_missing_index(error) or is_between_roles(error):
        return True
    if isinstance(error, ServerSelectionTimeoutError | AutoReconnect | ExecutionTimeout | WriteConcernError):
        return True
    if isinstance(error, OperationFailure):
        if error.has_error_label("RetryableWriteError") or error.has_error_label("TransientTransactionError"):
            return True
        details = error.details or {}
        # a primary that steps down in the middle of a batch reports it for each write that it has not carried out
        inner = [entry.get("code") for kind in _BATCH_ERRORS for entry in details.get(kind, [])]
        return any(code in _TRANSIENT_CODES for code in [error.code, *inner])
    return False


def is_rejection(error: BaseException) -> bool:
    """Whether the server rejected the command itself; perhaps an index that it names is missing."""
    return isinstance(error, OperationFailure)


def is_not_allowed(error: BaseException) -> bool:
    """Whether this user may not do that."""
    return isinstance(error, OperationFailure) and error.code == _UNAUTHORIZED


def is_refusal(error: BaseException) -> bool:
    """Whether the document can never be stored; False for a fault of the server, which may pass."""
    if is_transient(error):
        return False
    if not isinstance(error, OperationFailure):
        return True
    return bool((error.details or {}).get("writeErrors")) or error.code in _BAD_DOCUMENT_CODES


def is_refused_write(error: BaseException) -> bool:
    """Whether the server refused to change one of the documents of an update, and would again."""
    refused = isinstance(error, OperationFailure) and error.code in _REFUSED_CHANGE_CODES
    return (isinstance(error, WriteError) or refused) and not is_transient(error)


def is_too_large(error: BaseException) -> bool:
    """Whether the document would grow beyond the size that MongoDB stores."""
    if isinstance(error, DocumentTooLarge):
        return True
    return isinstance(error, OperationFailure) and error.code in _TOO_LARGE_CODES


def brief(error: BaseException) -> str:
    """Returns the text of an error, short enough for a log line."""
    return str(error)[:_BRIEF]


@contextmanager
def translated() -> Iterator[None]:
    """Turns driver errors into ours, which say what is wrong and what helps."""
    try:
        yield
    except ServerSelectionTimeoutError as error:
        raise DatabaseUnavailableError(unreachable_text(error)) from error
    except OperationFailure as error:
        if error.code in _REFUSED_LOGIN:
            raise AuthenticationError(refused_login_text(error)) from error
        if is_missing_index(error):
            raise DatabaseUnavailableError(
                "an index is missing in MongoDB; a node makes it again, and so does whoever connects: try again"
            ) from error
        if is_transient(error):
            raise DatabaseUnavailableError(f"MongoDB did not confirm the operation: {details_of(error)}") from error
        raise DatabaseError(f"MongoDB refused the operation: {details_of(error)}") from error
    except ConnectionFailure as error:
        raise DatabaseUnavailableError(f"the connection to MongoDB was lost: {first_sentence(error)}") from error
    except PyMongoError as error:
        if is_between_roles(error):
            raise DatabaseUnavailableError("MongoDB elects a primary; try again") from error
        raise DatabaseError(f"MongoDB could not be used: {first_sentence(error)}") from error


_NOT_ALLOWED = re.compile(
    r"not authorized on (?P<database>\S+) to execute command \{ (?P<command>\w+): (?P<target>[^,]+)"
)

_SETTING_UP = {"create", "createIndexes", "dropIndexes", "collMod", "convertToCapped"}

#: words of the driver about a server that it cannot use, and the usual cure
_CURES: tuple[tuple[str, str], ...] = (
    ("Hostname mismatch", "its certificate is for another name than the one in the URI"),
    ("IP address mismatch", "its certificate is for another address than the one in the URI"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted; name who has signed it: tlsCAFile=/path/to/ca.pem"),
    ("SSL handshake failed", "if it does not speak TLS, take tls=true out of the URI"),
    (
        "connection closed",
        "if it demands TLS, put tls=true into the URI, and tlsCertificateKeyFile=/path/to/client.pem if it wants to "
        "see a certificate",
    ),
)


def unreachable_text(error: Exception) -> str:
    """Words the error that no server can be reached, with the likely cure."""
    reason = first_sentence(error)
    cure = next((cure for sign, cure in _CURES if sign in reason), "is it running, and is the URI right?")
    return f"no MongoDB server could be reached ({reason}); {cure}"


def refused_login_text(error: OperationFailure) -> str:
    """Words the error that the server refuses a login, or an operation that this user may not do."""
    if isinstance(error, NoIndexAllowedError):
        return error.text
    reason = details_of(error)
    if error.code != _UNAUTHORIZED:
        cure = "check both, and authSource in the URI if the user is not one of this database"
        return f"MongoDB refused this user or password: {reason.rstrip('.')}; {cure}"
    if reason.endswith("requires authentication"):
        return "MongoDB demands a user and a password; the URI names none: mongodb://USER:PASSWORD@host/database"
    return _not_allowed(reason)


def _not_allowed(reason: str) -> str:
    found = _NOT_ALLOWED.match(reason)
    if found is None:
        return f"MongoDB does not allow this to the user: {reason.partition('{')[0].strip()}"
    command, target = found["command"], found["target"].strip('" }')
    place = found["database"] if target == "1" else f"{found['database']}.{target}"
    if command in _SETTING_UP:
        cure = "connect once as a user with the role taskscheduler_setup, which may make and remove what is needed"
    else:
        cure = "grant it the role taskscheduler_run"
    return f"MongoDB does not let this user run {command} on {place}; {cure}"


def details_of(error: OperationFailure) -> str:
    """Returns the server's own words."""
    details: Mapping[str, Any] = error.details or {}
    return str(details.get("errmsg") or first_sentence(error))


def first_sentence(error: Exception) -> str:
    """Returns the driver's words without its settings and its view of the servers."""
    return str(error).split(", Timeout:")[0].split(", full error:")[0].split(" (configured timeouts")[0]
