"""A client of the web application on the database of the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tests.support.jobs  # noqa: F401 - registers what may not be posted
from starlette.testclient import TestClient
from tests.support.web import visit

from taskscheduler import Scheduler


@pytest.fixture
def client(scheduler: Scheduler) -> Iterator[TestClient]:
    with visit(scheduler) as client:
        yield client
