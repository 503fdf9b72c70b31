"""The tree of errors as it is drawn, what errors carry, and what must never be shown."""

from __future__ import annotations

import inspect
import re
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DuplicateKeyError,
    ExecutionTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)
from tests.support.tables import table

import taskscheduler
from taskscheduler import errors
from taskscheduler.errors import (
    AuthenticationError,
    DatabaseError,
    DatabaseUnavailableError,
    DuplicateJobError,
    InvalidOptionError,
    JobNotFoundError,
    SchedulerError,
)
from taskscheduler.model import job_errors, raised
from taskscheduler.model.job_errors import JobCanceledError, JobError, JobFailedError, JobTimeoutError, error_for_status
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler.store.client import connect, redacted
from taskscheduler.store.driver_errors import is_transient, translated

LINE = re.compile(r"^    (?P<indent>[ │├└─]*)(?P<name>[A-Z]\w+)(?: \((?P<builtin>\w+)\))?(?:  .*)?$")


def drawn() -> dict[str, tuple[str | None, str | None]]:
    """Each error in the docstring with its parent there and the builtin it also is."""
    found: dict[str, tuple[str | None, str | None]] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        depth = len(match["indent"])
        while path and path[-1][0] >= depth:
            path.pop()
        found[match["name"]] = (path[-1][1] if path else None, match["builtin"])
        path.append((depth, match["name"]))
    return found


def defined() -> dict[str, tuple[str | None, str | None]]:
    found: dict[str, tuple[str | None, str | None]] = {}
    homes = (errors, job_errors, raised)
    classes = [
        cls for home in homes for _, cls in inspect.getmembers(home, inspect.isclass) if cls.__module__ == home.__name__
    ]
    for cls in classes:
        name = cls.__name__
        if not issubclass(cls, errors.SchedulerError):
            continue
        ours = [base.__name__ for base in cls.__bases__ if issubclass(base, errors.SchedulerError)]
        builtin = [base.__name__ for base in cls.__bases__ if base.__module__ == "builtins" and base is not Exception]
        found[name] = (ours[0] if ours else None, builtin[0] if builtin else None)
    return found


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    assert drawn() == defined()
    assert drawn()["SchedulerError"] == (None, None)


def test_every_error_is_documented_and_can_be_imported_from_the_package() -> None:
    for name in defined():
        assert inspect.getdoc(getattr(taskscheduler, name))
        assert name in taskscheduler.__all__


def test_errors_about_a_job_carry_its_id() -> None:
    job_id = ObjectId()
    for cls in (JobNotFoundError, DuplicateJobError):
        error = cls(job_id)
        assert error.job_id == job_id
        assert str(job_id) in str(error)


# -- how a job ended --------------------------------------------------------------------------------------------------


def process(status: Status, **more: Any) -> Process:
    document = {"_id": ObjectId(), "class": "mail", "status": int(status), "options": {"timeout": 5}, **more}
    return Process(cast(Any, None), document)


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (Status.FAILED, JobFailedError, "failed: ValueError: no address"),
        (Status.TIMEOUT, JobTimeoutError, "ran longer than 5 s and was killed"),
        (Status.CANCELED, JobCanceledError, "was cancelled"),
    ],
)
def test_a_job_that_ended_badly_has_an_error_that_fits(status: Status, kind: type[JobError], said: str) -> None:
    job = process(status, error={"type": "ValueError", "message": "no address"})
    error = error_for_status(job)
    assert type(error) is kind
    assert str(error) == f"job mail {job.id} {said}"
    assert error.process is job
    with pytest.raises(kind):
        job.raise_for_status()


@table("status", [Status.DONE, Status.WAITING, Status.POSTPONED, Status.PROCESSING])
def test_a_job_that_did_not_end_badly_has_no_error(status: Status) -> None:
    assert error_for_status(process(status)) is None
    process(status).raise_for_status()


# -- URIs -------------------------------------------------------------------------------------------------------------


@table(
    ("uri", "shown"),
    [
        ("mongodb://host/app", "mongodb://host/app"),
        ("mongodb://me:secret@host/app", "mongodb://me:***@host/app"),
        ("mongodb+srv://me:secret@host/app?x=1", "mongodb+srv://me:***@host/app?x=1"),
        ("mongodb://me:s:e@c/r@host:1,other:2/app", "mongodb://me:***@host:1,other:2/app"),
        ("", ""),
        ("nonsense", "nonsense"),
    ],
)
def test_a_uri_is_shown_without_its_password(uri: str, shown: str) -> None:
    assert redacted(uri) == shown


@table(
    "uri",
    [
        "mongodb://me:secret@host",
        "mongodb://me:secret@host/",
        "mongodb://me:secret@host:99999/app",
        "mongodb://me:secret@host:x/app",
        "mongodb://me:secret@/app",
        "mongodb://me:se:secret@host/app",
        "mongodb://me:x/secret@host/app",
        "mongodb://me:secret/x@host/app",
        "mongodb://me:12/secret@host/app",
        "mongodb://me:se%secret@host/app",
        "mongodb://me:secret@host/app?tls=true&tlsInsecure=true&tlsAllowInvalidCertificates=true",
        "http://me:secret@host/app",
    ],
)
def test_a_uri_that_cannot_be_used_is_refused_without_showing_its_password(uri: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        connect(uri)
    assert "secret" not in str(caught.value)


@table(
    ("uri", "reason"),
    [
        ("mongodb://me:x/secret@host/app", "its user or password must be percent-encoded"),
        ("mongodb://me:secret@host/app?retries=3", "Unknown option"),
        ("mongodb://me:secret@host/app?minPoolSize=9&maxPoolSize=1", "minPoolSize must be smaller or equal"),
        ("mongodb://me:secret@host/app?authMechanism=MONGODB-X509", "Passwords are not supported"),
        ("mongodb://me:secret@host:x/app", "Port contains non-digit characters"),
        ("me:secret@host/app", "Invalid URI scheme"),
    ],
)
def test_what_is_wrong_with_a_uri_is_told_also_where_it_has_a_password(uri: str, reason: str) -> None:
    with pytest.raises(InvalidOptionError, match=rf"is not a usable MongoDB URI: {reason}"):
        connect(uri)


def test_a_uri_must_name_a_database() -> None:
    with pytest.raises(InvalidOptionError, match="the URI must name a database: mongodb://host:port/DATABASE"):
        connect("mongodb://host")


# -- errors of the driver ---------------------------------------------------------------------------------------------


@table(
    ("error", "kind", "said"),
    [
        (ServerSelectionTimeoutError("no servers, Timeout: 30s, x"), DatabaseUnavailableError, "(no servers)"),
        (AutoReconnect("cut"), DatabaseUnavailableError, "the connection to MongoDB was lost: cut"),
        (OperationFailure("x", 18, {"errmsg": "bad"}), AuthenticationError, "refused this user or password: bad"),
        (OperationFailure("x", 13), AuthenticationError, "does not allow this to the user: x"),
        (OperationFailure("odd, full error: {}", 99), DatabaseError, "MongoDB refused the operation: odd"),
        (
            OperationFailure("interrupted", 11602),
            DatabaseUnavailableError,
            "did not confirm the operation: interrupted",
        ),
        (WriteConcernError("no majority", 64), DatabaseUnavailableError, "did not confirm the operation: no majority"),
        (PyMongoError("else"), DatabaseError, "MongoDB could not be used: else"),
    ],
)
def test_an_error_of_the_driver_becomes_one_of_ours(error: PyMongoError, kind: type[Exception], said: str) -> None:
    with pytest.raises(SchedulerError) as caught, translated():
        raise error
    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert caught.value.__cause__ is error


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(KeyError), translated():
        raise KeyError("ours")


@table(
    ("error", "transient"),
    [
        (AutoReconnect("cut"), True),
        (NotPrimaryError("stepped down"), True),
        (ServerSelectionTimeoutError("none"), True),
        (ExecutionTimeout("slow", 50), True),
        (WriteConcernError("waiting for replication timed out", 64), True),
        (OperationFailure("stepping down", 189), True),
        (OperationFailure("labelled", 1, {"errorLabels": ["RetryableWriteError"]}), True),
        (BulkWriteError({"writeErrors": [{"index": 0, "code": 189}]}), True),
        (BulkWriteError({"writeErrors": [{"index": 0, "code": 11000}, {"index": 1, "code": 189}]}), True),
        (BulkWriteError({"writeErrors": [{"index": 0, "code": 11000}]}), False),
        (BulkWriteError({"writeConcernErrors": [{"code": 64}]}), True),
        (OperationFailure("no rights", 13), False),
        (DuplicateKeyError("twice", 11000), False),
        (PyMongoError("else"), False),
        (ValueError("ours"), False),
    ],
)
def test_only_faults_that_pass_are_worth_another_try(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient
