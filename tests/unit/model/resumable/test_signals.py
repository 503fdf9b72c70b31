"""Signals as they are stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.resumable.signals import LONGEST_NAME, Signal, entry_of, name_of

AT = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.mark.parametrize("name", ["approved", "ü", "x" * LONGEST_NAME, "$go.1", "a b"])
def test_a_name_is_a_short_text(name: str) -> None:
    assert name_of("signal", name) == name


@pytest.mark.parametrize("name", ["", "x" * (LONGEST_NAME + 1), 7, None, "a\nb", "\0", b"go"])
def test_any_other_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidOptionError, match="the name of a signal must be a text of 1 to 200 printable"):
        name_of("signal", name)


def test_a_signal_is_read_as_it_is_stored() -> None:
    assert Signal.of({"name": "go", "value": 1, "at": AT}, won=True) == Signal("go", 1, AT, won=True)
    late = Signal.of({"name": "go", "timed_out": True, "at": AT}, won=False)
    assert (late.value, late.timed_out) == (None, True)


def test_the_first_entry_of_a_name_holds() -> None:
    entries = [{"name": "a", "at": AT}, {"name": "go", "at": AT, "value": 1}, {"name": "go", "at": AT, "value": 2}]
    assert (entry_of(entries, "go") or {})["value"] == 1
    assert entry_of(entries, "none") is None
