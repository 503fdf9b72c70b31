"""What a manager does with the messages of its workers."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator

import bson
import pytest
from tests.unit.manager.fakes import (
    FOREVER,
    FakeClock,
    FakeNode,
    Scenario,
    a_run,
    async_run,
    handles,
    report_of,
    unread,
)

from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import messages, packets
from taskscheduler_daemon.ipc.messages import Flag, Kind, Report, Run
from taskscheduler_daemon.ipc.worker_reports import ReportReader
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.pool.worker_state import KillReason, WorkerState
from taskscheduler_daemon.manager.worker_handle import WorkerHandle
from taskscheduler_daemon.manager.worker_messages import WorkerMessages

LIMIT = 60.0
PAYLOAD = 1000


class Scene(Scenario):
    """One worker with a socket, and the messages that it sends."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.node, self.clock = FakeNode(), FakeClock(self.now)
        self.assigner = Assigner(self.pool)
        attempts = AsyncAttempts(self.assigner, self.node, 0.5)
        reader = ReportReader(PAYLOAD)
        self.messages = WorkerMessages(self.pool, self.assigner, attempts, self.node, reader, self.clock)
        [self.worker] = self.spawn()
        self.handle: WorkerHandle

    def begin(self, run: Run) -> Run:
        self.pool.began(self.worker, run, self.now)
        return run

    def receive(self, *messages: bytes) -> None:
        for message in messages:
            assert packets.send(self.handle.worker_end, message)
        self.messages.read(self.worker)

    def progress(self, run: Run, body: bytes) -> bytes:
        return Report(Kind.PROGRESS, Ending.SUCCEEDED, run.job_id, 1, self.worker.id, 0.0, body).encode()


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    with handles(scene.assigner, scene.worker) as [scene.handle]:
        scene.handle.progress_limit = LIMIT
        yield scene


def test_a_worker_that_has_ended_in_the_same_moment_says_nothing_more() -> None:
    """One look at what is ready may tell of the death of a child first, and then that its socket can be read."""
    scene = Scene()
    scene.messages.read(WorkerState(b"worker", 1234, single=False, forced=False))
    assert scene.node.sent == []


def test_a_worker_is_ready_when_it_says_so(scene: Scene) -> None:
    assert scene.worker.born == 0
    scene.receive(messages.ready(0.25, []))
    assert scene.worker.ready
    assert scene.handle.progress_limit == 0.25
    assert scene.worker.born == scene.now


def test_what_the_newest_worker_knows_is_told_once(scene: Scene) -> None:
    for names in (["Mail"], ["Mail"], ["Mail", "Sort"]):
        scene.worker.ready = False
        scene.receive(messages.ready(0.25, names))
    assert [messages.known_names(one) for one in scene.node.of_kind(Kind.KNOWN)] == [["Mail"], ["Mail", "Sort"]]


def test_an_empty_sign_of_life_is_not_passed_on(scene: Scene) -> None:
    run = scene.begin(async_run(silence=1.0))
    scene.clock.time += 5
    scene.receive(scene.progress(run, b""), scene.progress(run, b"news"))
    assert [Report.decode(message).body for message in scene.node.sent] == [b"news"]
    assert scene.worker.async_runs[run.job_id].alive_at == scene.now + 5


def values(scene: Scene) -> list[float]:
    """The progress that was passed on to the node."""
    return [report.content()["progress"] for report in map(Report.decode, scene.node.of_kind(Kind.PROGRESS))]


def leave(scene: Scene, value: float) -> None:
    scene.handle.page.write(bson.encode({"progress": value}))


def test_after_the_first_progress_the_page_is_read_once_per_limit(scene: Scene) -> None:
    run = scene.begin(a_run())
    assert scene.messages.read_pages_at == FOREVER
    leave(scene, 1.0)
    scene.receive(scene.progress(run, b""))
    assert scene.messages.read_pages_at == scene.now + LIMIT
    leave(scene, 2.0)
    scene.messages.read_pages(scene.now + LIMIT)
    scene.messages.read_pages(scene.now + 2 * LIMIT)
    [_, left] = [Report.decode(message) for message in scene.node.sent]
    assert (left.job_id, left.content()) == (run.job_id, {"progress": 2.0})
    assert scene.messages.read_pages_at == scene.now + 3 * LIMIT
    scene.receive(report_of(scene.worker, run).encode())
    scene.messages.read_pages(scene.now + 3 * LIMIT)
    assert scene.messages.read_pages_at == FOREVER


def test_progress_that_was_read_before_its_message_arrived_is_passed_on_once_and_never_goes_back(scene: Scene) -> None:
    run = scene.begin(a_run())
    leave(scene, 1.0)
    scene.receive(scene.progress(run, b""))
    leave(scene, 2.0)
    assert packets.send(scene.handle.worker_end, scene.progress(run, b""))
    leave(scene, 3.0)
    scene.clock.time += LIMIT
    scene.messages.read_pages(scene.clock.time)
    scene.messages.read(scene.worker)
    assert values(scene) == [1.0, 3.0]


def test_messages_within_the_limit_are_no_reason_for_another_write(scene: Scene) -> None:
    run = scene.begin(a_run())
    for value in (1.0, 2.0, 3.0):
        leave(scene, value)
        scene.receive(scene.progress(run, b""))
        scene.clock.time += LIMIT / 10
    assert values(scene) == [1.0]
    assert scene.messages.read_pages_at == scene.now + LIMIT
    scene.messages.read_pages(scene.now + LIMIT)
    assert values(scene) == [1.0, 3.0]


def test_each_run_is_read_at_its_first_message_whatever_the_one_before_did(scene: Scene) -> None:
    for value in (1.0, 2.0):
        run = scene.begin(a_run())
        leave(scene, value)
        scene.receive(scene.progress(run, b""))
        scene.receive(report_of(scene.worker, run).encode())
    assert values(scene) == [1.0, 2.0]


def test_progress_without_a_limit_is_passed_on_message_by_message(scene: Scene) -> None:
    run = scene.begin(a_run())
    scene.receive(*(scene.progress(run, bson.encode({"progress": value})) for value in (1.0, 2.0, 3.0)))
    assert values(scene) == [1.0, 2.0, 3.0]
    assert scene.messages.read_pages_at == FOREVER


def test_the_end_of_a_run_is_passed_on_and_an_exclusive_one_is_released(scene: Scene) -> None:
    run = scene.begin(a_run(flags=Flag.EXCLUSIVE))
    scene.receive(report_of(scene.worker, run).encode())
    assert scene.node.endings == [(Ending.SUCCEEDED, run.job_id)]
    assert scene.node.gone == [run.job_id]
    assert scene.worker.running is None


def test_a_report_of_a_run_that_the_worker_was_not_given_is_logged_only(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    run = scene.begin(a_run())
    scene.receive(report_of(scene.worker, a_run()).encode())
    assert "an attempt that it was not running" in caplog.text
    assert (scene.node.sent, scene.worker.running) == ([], run)


def test_a_leaving_worker_is_released_after_its_last_job(scene: Scene) -> None:
    run = scene.begin(a_run())
    scene.worker.leaving = True
    scene.receive(report_of(scene.worker, run).encode())
    assert unread(scene.handle) == [b""]


def test_the_end_of_a_service_that_was_asked_to_stop_is_not_passed_on(scene: Scene) -> None:
    """Its kill reason is reported when its worker has ended."""
    run = scene.begin(a_run(flags=Flag.SERVICE))
    scene.worker.kill_reason = KillReason.CANCELED
    scene.receive(report_of(scene.worker, run).encode())
    assert scene.node.sent == []
    assert unread(scene.handle) == [b""]


# -- what a job has written to the socket of its worker ---------------------------------------------------------------


def header(
    run: Run,
    worker: bytes,
    code: int = 0,
    seconds: float = 0.0,
    began: float = 0.0,
    cpu: float = 0.0,
    peak: int = 0,
) -> bytes:
    """The report of a run, with any values."""
    report = Report(Kind.REPORT, Ending.SUCCEEDED, run.job_id, run.attempt, worker, 0.0, b"").encode()
    return report[:1] + bytes([code]) + report[2:-32] + struct.pack("<dddQ", seconds, began, cpu, peak)


def is_ended(scene: Scene) -> bool:
    return scene.worker.is_mute and scene.worker.leaving and scene.worker.kill_at <= scene.now


STRANGE: dict[str, Callable[[Scene, Run], bytes]] = {
    "a byte": lambda scene, run: b"\0",
    "a kind that only a node sends": lambda scene, run: run.encode(),
    "an unknown kind": lambda scene, run: bytes([99]) * 50,
    "half a report": lambda scene, run: header(run, scene.worker.id)[:20],
    "no progress": lambda scene, run: bytes([Kind.PROGRESS]),
    "an unknown ending": lambda scene, run: header(run, scene.worker.id, code=200),
    "an ending that only a manager reports": lambda scene, run: header(
        run, scene.worker.id, code=messages.ENDINGS.index(Ending.LOST)
    ),
    "another worker": lambda scene, run: header(run, bytes(12)),
    "not a number": lambda scene, run: header(run, scene.worker.id, seconds=float("nan")),
    "for ever": lambda scene, run: header(run, scene.worker.id, seconds=FOREVER),
    "before it began": lambda scene, run: header(run, scene.worker.id, seconds=-1.0),
    "not begun yet": lambda scene, run: header(run, scene.worker.id, began=scene.now + 0.001),
    "begun before the host": lambda scene, run: header(run, scene.worker.id, began=-1.0),
    "begun at no time": lambda scene, run: header(run, scene.worker.id, began=float("nan")),
    "less than no CPU time": lambda scene, run: header(run, scene.worker.id, cpu=-2.0),
    "no number of CPU seconds": lambda scene, run: header(run, scene.worker.id, cpu=float("nan")),
    "more memory than there is": lambda scene, run: header(run, scene.worker.id, peak=2**60),
    "a large result": lambda scene, run: header(run, scene.worker.id) + bson.encode({"result": "x" * (PAYLOAD + 1)}),
    "a large progress": lambda scene, run: scene.progress(run, bytes(9000)),
    "a huge report": lambda scene, run: header(run, scene.worker.id) + bytes(PAYLOAD + 200_000),
}


@pytest.mark.parametrize("what", STRANGE)
def test_what_no_worker_sends_ends_it(scene: Scene, caplog: pytest.LogCaptureFixture, what: str) -> None:
    run = scene.begin(a_run())
    scene.receive(STRANGE[what](scene, run), report_of(scene.worker, run).encode())
    assert is_ended(scene)
    assert (scene.node.sent, scene.worker.running) == ([], run)
    assert caplog.text.count("written to the socket of its worker") == 1
    scene.receive(report_of(scene.worker, run).encode())
    assert scene.node.sent == []


def test_a_result_of_the_largest_size_with_a_long_traceback_is_passed_on(scene: Scene) -> None:
    run = scene.begin(a_run())
    content = {"result": "x" * (PAYLOAD - 7), "said": {"message": "\N{GRINNING FACE}" * 1000}}
    report = report_of(scene.worker, run)._replace(body=bson.encode(content))
    scene.receive(report.encode())
    assert scene.node.reports == [report]
    run = scene.begin(a_run())
    report = report_of(scene.worker, run, Ending.FAILED)._replace(
        body=bson.encode({"error": {"type": "E", "message": "x" * 8000, "traceback": "x" * 32_000}})
    )
    scene.receive(report.encode())
    assert scene.node.reports[1:] == [report]


def test_progress_of_a_run_that_the_worker_does_not_hold_is_not_passed_on(scene: Scene) -> None:
    mine, others = scene.begin(a_run()), a_run()
    scene.receive(scene.progress(others, b"forged"), scene.progress(mine._replace(attempt=2), b"mine"))
    assert [Report.decode(message).body for message in scene.node.sent] == [b"mine"]
    scene.receive(Report(Kind.PROGRESS, Ending.SUCCEEDED, mine.job_id, 2, scene.worker.id, 0.0, b"late").encode())
    assert len(scene.node.sent) == 1


def test_a_worker_that_is_ready_once_more_gets_no_more_time(scene: Scene) -> None:
    scene.receive(bytes([Kind.READY]))
    scene.begin(a_run(timeout=10))
    ends_at = scene.worker.times_out_at()
    scene.clock.time += 5
    scene.receive(bytes([Kind.READY]))
    assert scene.worker.times_out_at() == ends_at


def test_no_noise_ends_anybody_but_its_worker(scene: Scene) -> None:
    """Random bytes, and reports of a held run with some bytes changed."""
    noise = random.Random(10)
    for _ in range(1000):
        run = scene.worker.running or scene.begin(a_run())
        message = bytearray(header(run, scene.worker.id) + bson.encode({"result": 1}))
        for _ in range(noise.randrange(4)):
            message[noise.randrange(len(message))] = noise.randrange(256)
        if noise.random() < 0.3:
            message = bytearray(noise.randbytes(noise.randrange(1, 100)))
        scene.receive(bytes(message))
        scene.worker.is_mute = scene.worker.leaving = False
        scene.pool.next_event(scene.now)
    assert 0.0 <= scene.pool.mean < FOREVER
    for report in scene.node.reports:
        report.content()
