"""A write concern error that the driver cannot read in an undecoded answer may be tried again."""

from __future__ import annotations

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import helpers_shared
from pymongo.errors import PyMongoError

from taskscheduler.store.driver_errors import is_transient
from taskscheduler.store.lenient_reads import RAW, readable_errors

ANSWER = {
    "ok": 1.0,
    "errorLabels": ["RetryableWriteError"],
    "writeConcernError": {"code": 189, "codeName": "PrimarySteppedDown", "errmsg": "the primary stepped down"},
}


def test_a_write_that_was_not_confirmed_is_a_transient_error_of_the_store() -> None:
    answer = RawBSONDocument(bson.encode(ANSWER), RAW)
    with pytest.raises(PyMongoError) as raised, readable_errors():
        helpers_shared._check_command_response(answer, 17, parse_write_concern_error=True)
    assert is_transient(raised.value)
