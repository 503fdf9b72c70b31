"""Errors of MongoDB: which documents can never be stored, and how an error is worded for users and for the log."""

from __future__ import annotations

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from tests.support.tables import table

from taskscheduler.errors import DatabaseError, DatabaseUnavailableError
from taskscheduler.store.driver_errors import (
    brief,
    is_refusal,
    is_transient,
    refused_login_text,
    translated,
    unreachable_text,
)


@pytest.mark.parametrize(
    "error",
    [
        BulkWriteError({"writeErrors": [{"code": 17419, "errmsg": "Resulting document after update is larger"}]}),
        OperationFailure("object to insert too large", 10334),
    ],
    ids=str,
)
def test_a_document_that_mongodb_cannot_hold_is_refused(error: PyMongoError) -> None:
    assert is_refusal(error)


@table(
    "error",
    [
        AutoReconnect("closed"),
        OperationFailure("interrupted", 11602),
        OperationFailure("lock timeout", 24),
        OperationFailure("out of disk space", 14031),
        OperationFailure("not authorized", 13),
        OperationFailure("bad value", 2),
    ],
)
def test_what_ails_the_server_refuses_no_document(error: PyMongoError) -> None:
    """A job that is done must not be stored as failed because the disk was full for a while."""
    assert not is_refusal(error)


def test_a_member_between_two_roles_can_be_used_soon() -> None:
    """The driver says that of a member that is neither primary nor secondary in an election."""
    error = ConfigurationError("Sessions are not supported by this MongoDB deployment")
    assert is_transient(error)
    assert not is_refusal(error)
    with pytest.raises(DatabaseUnavailableError, match="try again"), translated():
        raise error
    with pytest.raises(DatabaseError, match="no such option") as caught, translated():
        raise ConfigurationError("no such option")
    assert not isinstance(caught.value, DatabaseUnavailableError)


def test_the_text_for_a_log_line_is_short() -> None:
    assert brief(AutoReconnect("h:1: closed")) == "h:1: closed"
    assert brief(AutoReconnect("x" * 5000)) == "x" * 200


# -- what users read --------------------------------------------------------------------------------------------------

REST = 'lsid: { id: UUID("27d1") }, filter: { data: "SECRET" }, $db: "app" }'


def refusal(message: str, code: int = 13) -> str:
    return refused_login_text(OperationFailure(message, code, {"errmsg": message, "code": code}))


@table(
    ("command", "said"),
    [
        ('insert: "taskscheduler.jobs"', "insert on app.taskscheduler.jobs; grant it the role taskscheduler_run"),
        ("aggregate: 1", "aggregate on app; grant it the role taskscheduler_run"),
        ('createIndexes: "j"', "createIndexes on app.j; connect once as a user with the role taskscheduler_setup"),
        ('dropIndexes: "j"', "dropIndexes on app.j; connect once as a user with the role taskscheduler_setup"),
        ('create: "q"', "create on app.q; connect once as a user with the role taskscheduler_setup"),
    ],
)
def test_a_missing_right_is_told_with_the_role_that_has_it(command: str, said: str) -> None:
    told = refusal(f"not authorized on app to execute command {{ {command}, {REST}")
    assert said in told
    assert "SECRET" not in told
    assert "lsid" not in told


def test_a_refusal_in_other_words_is_told_without_the_command() -> None:
    told = refusal("may not do this { find: 1, " + REST)
    assert told == "MongoDB does not allow this to the user: may not do this"


@table(
    ("reason", "cure"),
    [
        ("h:1: connection closed", "put tls=true into the URI"),
        ("h:1: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed", "tlsCAFile="),
        ("h:1: [SSL: CERTIFICATE_VERIFY_FAILED] Hostname mismatch, certificate is not valid for 'h'", "another name"),
        ("h:1: [SSL: CERTIFICATE_VERIFY_FAILED] IP address mismatch", "another address"),
        ("SSL handshake failed: h:1: EOF occurred", "take tls=true out"),
        ("h:1: [Errno 111] Connection refused", "is it running, and is the URI right?"),
    ],
)
def test_a_server_that_cannot_be_talked_to_is_told_with_what_helps(reason: str, cure: str) -> None:
    error = ServerSelectionTimeoutError(f"{reason} (configured timeouts: 1), Timeout: 3.0s, Topology Description: <x>")
    told = unreachable_text(error)
    assert told.startswith(f"no MongoDB server could be reached ({reason}); ")
    assert cure in told
    assert "Topology" not in told
