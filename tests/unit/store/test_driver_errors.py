"""Which errors of MongoDB mean that a document can never be stored, so that its job has to fail instead."""

from __future__ import annotations

import pytest
from pymongo.errors import AutoReconnect, BulkWriteError, OperationFailure, PyMongoError

from taskscheduler.store.driver_errors import is_refusal


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


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("closed"),
        OperationFailure("interrupted", 11602),
        OperationFailure("lock timeout", 24),
        OperationFailure("out of disk space", 14031),
        OperationFailure("not authorized", 13),
        OperationFailure("bad value", 2),
    ],
    ids=str,
)
def test_what_ails_the_server_refuses_no_document(error: PyMongoError) -> None:
    """A job that is done must not be stored as failed because the disk was full for a while."""
    assert not is_refusal(error)
