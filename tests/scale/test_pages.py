"""What people read stays quick, and looks at no more of the database, however many jobs have ended.

Ten million jobs that have ended and a hundred thousand live ones take half an hour and 10 GB:
`.venv/bin/pytest -m scale -s tests/scale/test_pages.py --basetemp DIRECTORY`.
TASKSCHEDULER_TEST_ENDED=1000000 makes it fewer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from bson import ObjectId

from taskscheduler import Scheduler
from tests.scale.cluster import Size, fill
from tests.scale.reads import Cost, commands, cost, landmarks, pages, refresh

pytestmark = [pytest.mark.scale, pytest.mark.timeout(3 * 3600)]

SIZE = Size(int(os.environ.get("TASKSCHEDULER_TEST_ENDED", "10_000_000")), 100_000)

MOST_EXAMINED = 25_000  #: keys or documents, by one statement; a page of jobs searches 5000

MOST_SCANNED = 1000  #: documents of a small collection that has no index for a question, such as nodes


@pytest.fixture(scope="module")
def costs(server_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Cost]]:
    """What each read costs, which is printed, too."""
    uri = server_uri.format(f"scale_{ObjectId()}")
    fill(uri, SIZE, Path(tmp_path_factory.mktemp("cluster")))
    with Scheduler(uri) as scheduler:
        database = scheduler.store.database
        reads = [*pages(scheduler, landmarks(scheduler)), *commands(uri), refresh(scheduler)]
        found = [cost(database, read) for read in reads]
        for one in sorted(found, key=lambda one: -one.seconds):
            figures = f"{one.statements:4} statements {one.keys:6} keys {one.documents:6} documents"
            times = f"{1000 * one.seconds:7.1f} ms, processors {1000 * one.processor:7.1f} ms"
            print(f"{times} {figures}  {one.name}")  # noqa: T201
        yield found
        database.client.drop_database(database.name)


def test_nothing_reads_more_than_a_page_may(costs: list[Cost]) -> None:
    many = [one for one in costs if max(one.keys, one.documents) > MOST_EXAMINED or one.scans > MOST_SCANNED]
    assert not many


def test_everything_is_read_in_time(costs: list[Cost]) -> None:
    late = [(one.name, round(1000 * one.seconds)) for one in costs if one.seconds > one.most]
    assert not late
