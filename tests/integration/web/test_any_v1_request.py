"""Whatever anybody sends to /api/v1, it answers as its description says, and never with 500."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from tests.support.access import guarded
from tests.support.changing import Things
from tests.support.tables import rarely

from taskscheduler import Scheduler

FEW = settings(max_examples=1, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=100, derandomize=False)

LONG = (pytest.mark.faults, pytest.mark.timeout(3600))


@pytest.mark.parametrize("name", ["ada", *rarely("vera")])
@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=LONG)], ids=["few", "many"])
def test_any_request_is_answered_as_described(
    scheduler: Scheduler, tmp_path: Path, examples: settings, name: str
) -> None:
    from tests.support.described import try_all  # noqa: PLC0415 - it takes a second to load

    with guarded(scheduler, tmp_path) as client:
        app: Any = client.app
        app.end_streams()
        assert try_all(app, Things(scheduler), name, examples) > 70
