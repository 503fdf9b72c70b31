"""The databases on which steps are tried beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.faults.steps.stage import Stage

_AT_ONCE = 4


@pytest.fixture
def stages(server_uri: str, tmp_path: Path) -> Iterator[list[Stage]]:
    """Databases that are used again and again."""
    client: MongoClient[dict[str, Any]] = MongoClient(server_uri.format("admin"))
    with client:
        made = [Stage(client, server_uri, f"steps_{number}", tmp_path / str(number)) for number in range(_AT_ONCE)]
        yield made
        for stage in made:
            stage.scheduler.close()
            client.drop_database(stage.database.name)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that breaks the product: what does not heal soon does not heal."""
    monkeypatch.setattr("tests.faults.steps.stage.HEALS_WITHIN", 6.0)
