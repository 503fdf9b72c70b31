"""An index that is being made refuses no duplicate yet: who needs it waits until it is there."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from taskscheduler import Scheduler
from taskscheduler.store.schema import begun_indexes
from tests.faults.steps.server import Server
from tests.support.eventually import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

STANDING = {"configureFailPoint": "hangAfterStartingIndexBuild"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.stop()


def test_the_first_keys_of_a_database_wait_for_their_index(server: Server) -> None:
    uri = server.uri("builds")
    with Scheduler(uri) as first, Scheduler(uri) as second, ThreadPoolExecutor(3) as threads:
        first.add_job("noop", 0)  # an index of no jobs is made at once
        assert len(list(second.get_jobs())) == 1
        server.client.admin.command({**STANDING, "mode": "alwaysOn"})
        try:
            adding = [threads.submit(first.add_job_once, "noop", 1)]
            eventually(lambda: begun_indexes(first.store.jobs.collection), 30, "it is being made")
            assert second.store.on_demand.exclude({"once": "key"})
            with Scheduler(uri) as third:
                assert len(list(third.get_jobs())) == 1
                assert "once" not in second.store.on_demand.known | third.store.on_demand.known
                adding += [threads.submit(one.add_job_once, "noop", 1) for one in (second, third)]
                with pytest.raises(TimeoutError):
                    adding[1].result(1)
                assert not any(one.done() for one in adding)
                server.client.admin.command({**STANDING, "mode": "off"})
                added = [one.result(60) for one in adding]
        finally:
            server.client.admin.command({**STANDING, "mode": "off"})
        assert sorted(str(one.outcome) for one in added) == ["created", "existing", "existing"]
        assert len({one.id for one in added}) == 1
