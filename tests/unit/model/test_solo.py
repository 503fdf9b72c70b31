"""The key of a solo job, and the document of one that waits for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.solo import FAR, make_solo, solo_key, solo_option

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("value", [True, False, "k", "k" * 200])
def test_a_bool_and_a_short_text_are_keys(value: Any) -> None:
    assert solo_option("solo", value) == value


@pytest.mark.parametrize("value", ["", "k" * 201, 1, None, b"k", ["k"]])
def test_anything_else_is_refused_by_its_name(value: Any) -> None:
    with pytest.raises(InvalidOptionError, match=r"^option solo must be a boolean, or a text of 1 to 200 characters"):
        solo_option("solo", value)


def test_the_key_is_the_name_of_the_job_or_the_text() -> None:
    assert solo_key(True, "mail") == "mail"
    assert solo_key("shared", "mail") == "shared"
    assert solo_key(False, "mail") is None


@pytest.mark.parametrize("ago", [0, 1])
def test_a_solo_job_that_is_due_is_parked(ago: float) -> None:
    due = NOW - timedelta(seconds=ago)
    document: dict[str, Any] = {"status": int(Status.WAITING), "at": due}
    make_solo(document, "key", NOW)
    assert document == {"status": int(Status.POSTPONED), "solo": "key", "at": FAR, "parked_at": due}


def test_a_solo_job_for_later_is_not_parked_yet() -> None:
    later = NOW + timedelta(seconds=1)
    document: dict[str, Any] = {"status": int(Status.POSTPONED), "at": later}
    make_solo(document, "key", NOW)
    assert document == {"status": int(Status.POSTPONED), "solo": "key", "at": later}
