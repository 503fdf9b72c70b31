"""How often Python looks for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from taskscheduler_daemon.system.garbage import rare_collections


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_collections_are_rare_until_the_end_and_then_as_before() -> None:
    gc.set_threshold(700, 11, 12)
    with rare_collections():
        assert gc.get_threshold() == (10_000, 11, 12)
    assert gc.get_threshold() == (700, 11, 12), "a manager that is forked after this has what jobs expect"


@pytest.mark.parametrize("chosen", [0, 50_000])
def test_what_an_application_has_chosen_stays(chosen: int) -> None:
    gc.set_threshold(chosen, 10, 10)
    with rare_collections():
        assert gc.get_threshold()[0] == chosen
