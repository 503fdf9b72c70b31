"""The garbage collector rests while many objects are made, and runs again afterwards."""

from __future__ import annotations

import gc

import pytest

from taskscheduler_daemon.web.http.garbage import collector_paused


def test_the_collector_rests_and_runs_again_also_after_an_error() -> None:
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled(), "the outer one has not ended"
    assert gc.isenabled()
    with pytest.raises(ValueError, match="odd"), collector_paused():
        raise ValueError("odd")
    assert gc.isenabled()


def test_it_stays_off_where_somebody_has_switched_it_off() -> None:
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
