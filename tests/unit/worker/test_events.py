"""What a worker tells those who listen to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bson
import pytest
from bson import ObjectId

from taskscheduler import InvalidOptionError, Job, Status
from taskscheduler.model.process_state import ProcessState
from taskscheduler_daemon.ipc import packets
from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.ipc.shared_page import SharedPage
from taskscheduler_daemon.worker.worker import Worker


class Told(Job):
    """Fails with a text, else returns what it was given."""

    name = "unit-told"

    def start(self) -> Any:
        if isinstance(self.data, str):
            raise ValueError(self.data)
        return self.data


@pytest.fixture
def worker() -> Iterator[Worker]:
    manager, end = packets.pair()
    worker = Worker(ObjectId())
    page = SharedPage()
    worker._connect(end, page, progress_limit=0.5, max_payload=1024)
    with manager, end:
        yield worker
    page.close()


def process(worker: Worker, data: Any) -> ObjectId:
    job_id = ObjectId()
    body = bson.encode({"_id": job_id, "class": "unit-told", "data": data, "attempt": 1})
    worker._process(Run(job_id.binary, 1, 0, 0, body))
    return job_id


def test_each_job_is_told_of_when_it_arrives_and_when_it_has_ended(worker: Worker) -> None:
    seen: list[tuple[str, Worker, ProcessState]] = []

    def note(event: str, sender: Worker, job: Any) -> None:
        seen.append((event, sender, job))

    assert worker.on("fetched", note).on("executed", note).on("failed", note) is worker
    done, failed = process(worker, 5), process(worker, "no")
    assert [(event, job.id, job.status) for event, _, job in seen] == [
        ("fetched", done, Status.PROCESSING),
        ("executed", done, Status.DONE),
        ("fetched", failed, Status.PROCESSING),
        ("failed", failed, Status.FAILED),
    ]
    assert all(sender is worker for _, sender, _ in seen)
    assert (seen[1][2].result_value, seen[1][2].job, seen[1][2].data) == (5, "unit-told", 5)
    assert (seen[3][2].error or {})["message"] == "no"


def test_a_handler_that_raises_is_logged_and_harms_nobody(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    def broken(event: str, sender: Worker, job: Any) -> None:
        raise ValueError("broken handler")

    worker.on("fetched", broken).on("fetched", lambda event, *_: seen.append(event))
    process(worker, 1)
    assert seen == ["fetched"]
    assert "broken handler" in caplog.text


def test_an_unknown_event_is_refused(worker: Worker) -> None:
    with pytest.raises(InvalidOptionError, match="unknown event 'finish'; the events of a worker are started"):
        worker.on("finish", print)
    with pytest.raises(InvalidOptionError, match="the handler of 'failed' must be callable, not int"):
        worker.on("failed", 5)  # type: ignore[arg-type]
