"""Ids as people type them."""

from __future__ import annotations

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.errors import InvalidOptionError, JobNotFoundError
from taskscheduler_daemon.cli.input.ids import resolve, resolve_all

IDS = [ObjectId("6a5f01c2e26cf26c6d0ede69"), ObjectId("6a5f01c2e26cf26c6d1ede69"), ObjectId("6a5f01c2e26cf26c6dabcdef")]


def test_an_id_may_be_its_end_if_that_is_unique() -> None:
    assert resolve("ABCDEF", lambda: IDS) == IDS[2]
    assert resolve("…abcdef", lambda: IDS) == IDS[2]
    assert resolve(str(IDS[0]), list) == IDS[0]
    with pytest.raises(InvalidOptionError, match=f"{IDS[0]}, {IDS[1]}"):
        resolve("ede69", lambda: IDS)
    with pytest.raises(JobNotFoundError):
        resolve("00000", lambda: IDS)


@table("text", ["", "ede6", "xyzzy", "6a5f01c2e26cf26c6d0ede69aa", "--all"])
def test_an_id_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidOptionError):
        resolve(text, lambda: IDS)


def test_the_recent_ids_are_read_once_and_ids_given_twice_count_once() -> None:
    asked: list[int] = []

    def recent() -> list[ObjectId]:
        asked.append(1)
        return IDS

    assert resolve_all(["abcdef", "0ede69", str(IDS[2])], recent) == [IDS[2], IDS[0]]
    assert len(asked) == 1
