"""Claimed jobs as they are read back: as bytes for the worker, decoded only as far as it pays."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from tests.support.tables import table

from taskscheduler.model.payload import CODEC
from taskscheduler.store.claimed_job import READ_BACK, decode, split_documents


def a_job(data: Any = None) -> dict[str, Any]:
    return {"_id": ObjectId(), "class": "mail", "data": data, "attempt": 2, "options": {"retry": 1}}


@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_bytes_of_an_answer_are_split_into_its_documents(count: int) -> None:
    jobs = [bson.encode(a_job("x" * number)) for number in range(count)]
    assert list(split_documents(b"".join(jobs))) == jobs


@table(("size", "whole"), [(10, True), (1900, True), (2100, False), (100_000, False)])
def test_a_large_job_is_decoded_only_where_it_is_read(size: int, whole: bool) -> None:
    stored = a_job("x" * size)
    raw = bson.encode(stored, codec_options=CODEC)
    job, kept = decode(raw)
    assert kept == raw
    assert isinstance(job, RawBSONDocument) != whole
    assert (job["_id"], job["attempt"], job["options"]["retry"]) == (stored["_id"], 2, 1)
    assert bson.decode(kept, codec_options=CODEC) == stored


def test_neither_results_nor_earlier_attempts_are_read_back() -> None:
    assert not {"result", "attempts", "error"} & set(READ_BACK)
    assert {"class", "data", "attempt", "options", "solo", "service", "lost", "retries"} <= set(READ_BACK)
