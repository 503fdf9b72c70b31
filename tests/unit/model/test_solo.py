"""The key of a solo job."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.control.keys import place
from taskscheduler.model.solo import solo_key, solo_option


@table("value", [True, False, "k", "k" * 200])
def test_a_bool_and_a_short_text_are_keys(value: Any) -> None:
    assert solo_option("solo", value) == value


@table("value", ["", "k" * 201, 1, None, b"k", ["k"]])
def test_anything_else_is_refused_by_its_name(value: Any) -> None:
    with pytest.raises(InvalidOptionError, match=r"^option solo must be a boolean, or a text of 1 to 200 characters"):
        solo_option("solo", value)


def test_no_key_is_the_place_of_a_limit() -> None:
    with pytest.raises(InvalidOptionError, match="option solo: a key must not begin with a null character"):
        solo_option("solo", place("limit:api", 0))


def test_the_key_is_the_name_of_the_job_or_the_text() -> None:
    assert solo_key(True, "mail") == "mail"
    assert solo_key("shared", "mail") == "shared"
    assert solo_key(False, "mail") is None
