"""listen, on and listen_in_background: every change of a status, in order, and an honest notice of lost ones."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from blinker import Namespace
from bson import ObjectId
from pymongo.database import Database
from tests.integration.test_waiting import counted_looks, in_thread, streams
from tests.support.eventually import eventually
from tests.support.jobs import Echo, Noop
from tests.support.nodes import NodeProcess

from taskscheduler import InvalidOptionError, Process, Scheduler, Status
from taskscheduler.clock import SYSTEM_CLOCK

Documents = Database[dict[str, Any]]


class Ear:
    """Listens in a thread of its own until `enough` changes were heard."""

    def __init__(
        self, scheduler: Scheduler, database: Documents, query: dict[str, Any] | None = None, enough: int = 10_000
    ) -> None:
        self.heard: list[tuple[ObjectId, str]] = []
        self.processes: list[Process] = []
        self._enough = enough
        before = followers(scheduler, database)
        self._listening = in_thread(partial(scheduler.listen, self._hear, query, 20.0))
        eventually(lambda: followers(scheduler, database) > before or self._listening.done())

    def _hear(self, process: Process) -> bool:
        self.processes.append(process)
        self.heard.append((process.id, process.status.label))
        return len(self.heard) >= self._enough

    def wait(self) -> list[tuple[ObjectId, str]]:
        self.token = self._listening.result(25)
        return self.heard


def followers(scheduler: Scheduler, database: Documents) -> int:
    """How many listeners follow a stream of their own, or one of the scheduler that several share."""
    return streams(database) + len(scheduler._core.shared_stream._members)


def lost_token(scheduler: Scheduler, database: Documents) -> dict[str, Any]:
    """A token at which no stream can resume, as one whose place the oplog has forgotten."""
    scheduler.add_job("noop")
    with database["taskscheduler.jobs"].watch() as stream:
        database.drop_collection("taskscheduler.jobs")
        token: dict[str, Any] = next(change["_id"] for change in stream if change["operationType"] == "invalidate")
    return token


def test_listen_hears_every_change_and_stops_at_true(
    scheduler: Scheduler, database: Documents, node: NodeProcess
) -> None:
    ear = Ear(scheduler, database, enough=3)
    process = scheduler.add_job("echo", {"a": 1})
    assert ear.wait() == [(process.id, name) for name in ("waiting", "processing", "done")]
    assert all(heard.data == {"a": 1} for heard in ear.processes)
    assert ear.processes[2].result_value["data"] == {"a": 1}


def test_only_true_itself_stops_the_listener(scheduler: Scheduler, database: Documents) -> None:
    answers = iter([None, 1, "yes", False, True])
    heard: list[ObjectId] = []

    def callback(process: Process) -> Any:
        heard.append(process.id)
        return next(answers)

    listening = in_thread(partial(scheduler.listen, callback, timeout=20))
    eventually(lambda: streams(database))
    added = [scheduler.add_job("noop").id for _ in range(6)]
    listening.result(20)
    assert heard == added[:5]


def test_listen_ends_at_its_timeout(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = counted_looks(monkeypatch)
    for timeout in (0, 0.5):
        looks.clear()
        began = SYSTEM_CLOCK.monotonic()
        scheduler.listen(lambda process: None, timeout=timeout)
        assert timeout <= SYSTEM_CLOCK.monotonic() - began
        assert len(looks) <= 2


def test_who_listens_for_no_time_at_all_can_go_on_from_there(scheduler: Scheduler) -> None:
    """As whoever whose time was over before the stream was open."""
    token = scheduler.listen(lambda process: None, timeout=0)
    added = scheduler.add_job("noop")
    heard: list[ObjectId] = []
    scheduler.listen(lambda process: heard.append(process.id) or True, timeout=20, after=token)  # type: ignore[func-returns-value]
    assert heard == [added.id]


def test_an_error_of_the_callback_ends_listen(scheduler: Scheduler, database: Documents) -> None:
    def callback(process: Process) -> None:
        raise ZeroDivisionError("mine")

    listening = in_thread(partial(scheduler.listen, callback, timeout=20))
    eventually(lambda: streams(database))
    scheduler.add_job("noop")
    with pytest.raises(ZeroDivisionError, match="mine"):
        listening.result(30)


def test_listen_can_follow_one_job(scheduler: Scheduler, database: Documents, node: NodeProcess) -> None:
    chosen = ObjectId()
    ear = Ear(scheduler, database, {"_id": chosen}, enough=3)
    process = scheduler.add_job("echo", id=chosen)
    scheduler.add_jobs([("noop", number) for number in range(20)])
    assert ear.wait() == [(process.id, name) for name in ("waiting", "processing", "done")]


def test_listen_can_follow_a_class_a_status_and_alternatives(
    scheduler: Scheduler, database: Documents, node: NodeProcess
) -> None:
    done = Ear(scheduler, database, {"status": Status.DONE}, enough=3)
    ended = Ear(scheduler, database, {"status": {"$gt": Status.PROCESSING}, "class": Noop}, enough=1)
    either = Ear(scheduler, database, {"$or": [{"class": "fail"}, {"class": Echo, "status": Status.DONE}]}, enough=5)
    data = Ear(scheduler, database, {"data.x": {"$gte": 2}, "queue": "default"}, enough=3)
    echo, failing = scheduler.add_job("echo", {"x": 1}), scheduler.add_job("fail")
    other, noop = scheduler.add_job("echo", {"x": 2}), scheduler.add_job("noop")
    assert {job for job, _ in done.wait()} == {echo.id, other.id, noop.id}
    assert {name for _, name in done.heard} == {"done"}
    assert ended.wait() == [(noop.id, "done")]
    names = ["done", "done", "failed", "processing", "waiting"]
    assert sorted(name for _, name in either.wait()) == names
    assert {job for job, name in either.heard if name != "done"} == {failing.id}
    assert data.wait() == [(other.id, name) for name in ("waiting", "processing", "done")]


def test_a_query_that_cannot_be_asked_of_changes_is_refused(scheduler: Scheduler) -> None:
    with pytest.raises(InvalidOptionError, match="cannot be used in the query of listen"):
        scheduler.listen(lambda process: True, {"$where": "1"}, timeout=1)


def test_what_is_no_callback_query_or_token_is_refused(scheduler: Scheduler) -> None:
    with pytest.raises(InvalidOptionError, match=r"the callback of listen\(\) must be callable, not NoneType"):
        scheduler.listen(None, timeout=1)  # type: ignore[arg-type]
    with pytest.raises(InvalidOptionError, match="a query must be a mapping"):
        scheduler.listen(lambda process: True, "done", timeout=1)  # type: ignore[arg-type]
    for token in ("x", {"id": 1}):
        with pytest.raises(InvalidOptionError, match=r"after must be the token that an earlier listen\(\) gave"):
            scheduler.listen_in_background(after=token)  # type: ignore[arg-type]


def test_a_token_resumes_where_the_last_listener_ended(scheduler: Scheduler, database: Documents) -> None:
    ear = Ear(scheduler, database, enough=1)
    scheduler.add_job("noop", "first")
    ear.wait()
    assert ear.token is not None
    added = [scheduler.add_job("noop", number).id for number in range(150)]
    added += [process.id for process in scheduler.add_jobs([("noop", number) for number in range(50)])]
    scheduler.cancel_job(added[0])
    heard: list[tuple[ObjectId, Status]] = []

    def callback(process: Process) -> bool:
        heard.append((process.id, process.status))
        return len(heard) == 201

    token = scheduler.listen(callback, timeout=15, after=ear.token)
    assert heard == [*((job_id, Status.WAITING) for job_id in added), (added[0], Status.CANCELED)]
    scheduler.listen(lambda process: heard.append((process.id, process.status)), timeout=0.5, after=token)
    assert len(heard) == 201


def test_a_token_of_a_quiet_time_misses_nothing(scheduler: Scheduler) -> None:
    token = scheduler.listen(lambda process: None, timeout=0.6)
    assert token is not None
    added = scheduler.add_job("noop")
    heard: list[ObjectId] = []

    def callback(process: Process) -> bool:
        heard.append(process.id)
        return True

    scheduler.listen(callback, timeout=5, after=token)
    assert heard == [added.id]


def test_a_retried_attempt_is_heard_as_failed_then_as_what_follows(
    scheduler: Scheduler, database: Documents, node: NodeProcess
) -> None:
    ear = Ear(scheduler, database, enough=9)
    process = scheduler.add_job("flaky", 3, retry=2, retry_interval=0.2)
    names = [name for job, name in ear.wait() if job == process.id]
    once = ["processing", "failed", "postponed", "waiting"]
    assert names == ["waiting", *once, *once]
    failed = [heard for heard in ear.processes if heard.status is Status.FAILED]
    assert [heard.attempt for heard in failed] == [1, 2]
    assert [heard.error["message"] for heard in failed if heard.error] == ["attempt 1", "attempt 2"]


def test_a_retry_at_once_is_heard_as_failed_and_waiting(
    scheduler: Scheduler, database: Documents, node: NodeProcess
) -> None:
    ear = Ear(scheduler, database, enough=6)
    scheduler.add_job("flaky", 2, retry=1, retry_interval=0)
    assert [name for _, name in ear.wait()] == ["waiting", "processing", "failed", "waiting", "processing", "done"]
    timed = Ear(scheduler, database, enough=5)
    scheduler.add_job("wait", {}, retry=1, retry_interval=0, timeout=0.2)
    assert [name for _, name in timed.wait()] == ["waiting", "processing", "timeout", "waiting", "processing"]


def test_the_events_of_a_job_that_is_added_are_called_at_once(scheduler: Scheduler) -> None:
    heard: list[tuple[str, ObjectId, Status]] = []

    def handler(event: str, process: Process) -> None:
        heard.append((event, process.id, process.status))

    assert scheduler.on("waiting", handler).on("postponed", handler).on("cancel", handler) is scheduler
    now, later = scheduler.add_job("noop"), scheduler.add_job("noop", at=timedelta(hours=1))
    batch = scheduler.add_jobs(["noop", "noop"])
    once = scheduler.add_job_once("noop", 1)
    assert scheduler.add_job_once("noop", 1).outcome == "existing"
    scheduler.cancel_job(later.id)
    assert heard == [
        ("waiting", now.id, Status.WAITING),
        ("postponed", later.id, Status.POSTPONED),
        *(("waiting", process.id, Status.WAITING) for process in (*batch, once)),
        ("cancel", later.id, Status.CANCELED),
    ]


def test_handlers_are_called_while_waiting_by_any_name(scheduler: Scheduler, node: NodeProcess) -> None:
    heard: dict[str, list[str]] = {}
    names = ("waiting", "taskscheduler.onWaiting", "taskscheduler.onProcessing", "done", "taskscheduler.onDone", "*")

    def note(name: str, event: str, process: Process) -> None:
        heard.setdefault(name, []).append(event)

    for name in names:
        scheduler.on(name, partial(note, name))
    scheduler.wait_for([scheduler.add_job("wait", {"seconds": 0.5})], timeout=10)
    assert heard["waiting"] == heard["taskscheduler.onWaiting"] == ["waiting"]
    assert heard["done"] == heard["taskscheduler.onDone"] == ["done"]
    assert heard["*"] in (["waiting", "processing", "done"], ["waiting", "done"])


@pytest.mark.parametrize("name", ["worker_spawn", "workerSpawn", "taskscheduler.onWorkerKill", "cancel", "timeout"])
def test_all_names_of_the_seed_can_be_bound(scheduler: Scheduler, name: str) -> None:
    assert scheduler.on(name, lambda event, process: None) is scheduler


@pytest.mark.parametrize("name", ["", "finished", "taskscheduler.*", "onDone", "DONE", None, 3])
def test_unknown_events_and_handlers_are_refused(scheduler: Scheduler, name: Any) -> None:
    with pytest.raises(InvalidOptionError, match="unknown event"):
        scheduler.on(name, lambda event, process: None)
    with pytest.raises(InvalidOptionError, match="must be callable"):
        scheduler.on("done", name)


def test_a_namespace_of_ones_own_carries_the_signals(uri: str) -> None:
    namespace = Namespace()
    heard: list[tuple[str, str]] = []

    def receiver(event: str, process: Process) -> None:
        heard.append((event, process.job))

    namespace.signal("taskscheduler.onWaiting").connect(receiver)
    with Scheduler(uri, emitter=namespace) as scheduler:
        scheduler.add_job("noop")
        scheduler.on("waiting", receiver)
        scheduler.add_job("echo")
    assert heard == [("waiting", "noop"), ("waiting", "echo"), ("waiting", "echo")]
    with pytest.raises(InvalidOptionError, match="emitter must be a blinker Namespace"):
        Scheduler(uri, emitter=object())  # type: ignore[arg-type]


def test_a_handler_that_raises_is_logged_and_harms_nobody(
    scheduler: Scheduler, node: NodeProcess, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    def broken(event: str, process: Process) -> None:
        raise RuntimeError("broken handler")

    scheduler.on("*", broken).on("waiting", broken)
    scheduler.on("*", lambda event, process: heard.append(event)).on(
        "waiting", lambda event, process: heard.append("2")
    )
    with caplog.at_level(logging.ERROR):
        assert scheduler.add_job("echo", 1).result(30)["data"] == 1
    assert "2" in heard
    assert "waiting" in heard
    assert "done" in heard
    assert "broken handler" in caplog.text


def test_a_wait_announces_the_end_of_a_job_that_was_quicker(scheduler: Scheduler, uri: str, node: NodeProcess) -> None:
    heard: list[str] = []
    scheduler.on("*", lambda event, process: heard.append(event))
    quick = scheduler.add_job("echo", 1)
    with Scheduler(uri) as other:
        other.get_job(quick.id).wait(30)
    assert heard == ["waiting"]
    quick.wait(30)
    quick.wait(30)
    assert heard == ["waiting", "processing", "done"]
    canceled = scheduler.add_job("echo", at=timedelta(hours=1))
    canceled.cancel()
    canceled.wait(30)
    assert heard == ["waiting", "processing", "done", "postponed", "cancel"]


def test_the_background_listener_delivers_from_its_own_thread(
    scheduler: Scheduler, uri: str, node: NodeProcess
) -> None:
    heard: queue.Queue[tuple[str, ObjectId, str]] = queue.Queue()
    scheduler.on("*", lambda event, process: heard.put((event, process.id, threading.current_thread().name)))
    with scheduler.listen_in_background() as listener:
        mine = scheduler.add_job("echo", 1)
        events = [heard.get(timeout=30) for _ in range(3)]
        assert [(event, job) for event, job, _ in events] == [
            (name, mine.id) for name in ("waiting", "processing", "done")
        ]
        assert threading.current_thread().name not in {thread for _, _, thread in events}
        with Scheduler(uri) as other:
            theirs = other.add_job("noop")
        assert [heard.get(timeout=30)[:2] for _ in range(3)][-1] == ("done", theirs.id)
        mine.wait(30)
        assert heard.empty()  # a wait does not deliver it a second time
        assert listener.running
    listener.stop()
    scheduler.add_job("noop").wait(30)
    assert heard.get(timeout=30)[0] == "waiting"
    assert heard.get(timeout=30)[0] in ("processing", "done")


def test_the_background_listener_takes_a_query_and_a_token(scheduler: Scheduler) -> None:
    heard: queue.Queue[tuple[str, ObjectId]] = queue.Queue()
    scheduler.on("*", lambda event, process: heard.put((event, process.id)))
    with scheduler.listen_in_background({"class": "echo"}) as listener:
        scheduler.add_job("noop")
        first = scheduler.add_job("echo")
        assert heard.get(timeout=30) == ("waiting", first.id)
        eventually(lambda: listener.token)
    token = listener.token
    with Scheduler(scheduler.store.database, emitter=Namespace()) as silent:
        missed = [silent.add_job("echo", number).id for number in range(5)]
        silent.add_job("noop")
    with scheduler.listen_in_background({"class": "echo"}, after=token):
        assert [heard.get(timeout=30)[1] for _ in range(5)] == missed
    assert heard.empty()


def test_closing_the_scheduler_ends_its_background_listener(uri: str) -> None:
    with Scheduler(uri) as scheduler:
        listener = scheduler.listen_in_background()
        assert listener.running
    assert not listener.running


def test_several_background_listeners_are_stopped_and_closed_each(uri: str) -> None:
    heard: queue.Queue[ObjectId] = queue.Queue()
    with Scheduler(uri).on("*", lambda _, process: heard.put(process.id)) as scheduler, Scheduler(uri) as other:
        one, two = (scheduler.listen_in_background({"class": name}) for name in ("echo", "noop"))
        two.stop()
        added = [scheduler.add_job("echo").id, other.add_job("echo").id]
        assert [heard.get(timeout=30) for _ in added] == added  # each once, as one listener goes on
        assert one.running
    assert not one.running


def test_a_handler_may_stop_the_listener_that_calls_it(scheduler: Scheduler) -> None:
    stopped: queue.Queue[bool] = queue.Queue()

    def handler(event: str, process: Process) -> None:
        listener.stop()
        stopped.put(True)

    listener = scheduler.on("waiting", handler).listen_in_background()
    scheduler.add_job("noop")
    assert stopped.get(timeout=10)
    eventually(lambda: not listener.running)


def test_a_token_that_is_too_old_gives_a_gap_and_all_that_may_have_changed(
    scheduler: Scheduler, database: Documents
) -> None:
    """All since the token, that is, not only what changed in the last seconds."""
    token = lost_token(scheduler, database)
    seconds = int(token["_data"][2:10], 16)
    token["_data"] = f"82{seconds - 600:08x}" + token["_data"][10:]  # ten minutes old
    fresh, earlier, promoted = (scheduler.add_job("noop", number) for number in range(3))
    now = database.command("hello")["localTime"]
    past = {field: now - timedelta(minutes=5) for field in ("created", "alive", "at")}
    database["taskscheduler.jobs"].update_one({"_id": earlier.id}, {"$set": past})
    later = {**{field: now - timedelta(days=2) for field in ("created", "alive")}, "at": now}
    database["taskscheduler.jobs"].update_one({"_id": promoted.id}, {"$set": later})  # was postponed until now
    gaps: list[str] = []
    scheduler.on("gap", lambda event, process: gaps.append(event))
    changed, heard = {fresh.id, earlier.id, promoted.id}, set[ObjectId]()

    def callback(process: Process) -> bool:
        heard.add(process.id)
        return heard >= changed

    scheduler.listen(callback, timeout=20, after=token)
    assert gaps == ["gap"]
    assert heard >= changed


def test_a_gap_is_told_before_the_jobs_are_read_again(scheduler: Scheduler, database: Documents) -> None:
    token = lost_token(scheduler, database)
    scheduler.add_job("noop")
    heard: list[str] = []
    scheduler.on("*", lambda event, process: heard.append(event))
    matching: list[ObjectId] = []
    scheduler.listen(lambda process: matching.append(process.id), {"class": "x"}, timeout=0, after=token)  # one look
    assert heard == ["gap"]
    assert matching == []
    scheduler.listen(lambda process: True, timeout=20, after=token)
    assert heard == ["gap", "gap", "waiting"]


@pytest.mark.parametrize("query", [None, {"class": "noop"}], ids=str)
def test_a_dropped_collection_is_a_gap_and_the_listener_goes_on(
    scheduler: Scheduler, database: Documents, query: dict[str, Any] | None
) -> None:
    gaps: list[str] = []
    scheduler.on("gap", lambda event, process: gaps.append(event))
    ear = Ear(scheduler, database, query)
    before = scheduler.add_job("noop")
    eventually(lambda: (before.id, "waiting") in ear.heard)
    database.drop_collection("taskscheduler.jobs")
    eventually(lambda: gaps == ["gap"])
    eventually(lambda: streams(database))
    after = scheduler.add_job("noop")
    eventually(lambda: (after.id, "waiting") in ear.heard)


def test_no_change_is_missed_when_the_cursor_is_killed(scheduler: Scheduler, database: Documents) -> None:
    """The stream's cursor is killed on the server again and again while jobs are added."""
    ear = Ear(scheduler, database, enough=300)
    added: list[ObjectId] = []
    for round_ in range(3):
        added += [scheduler.add_job("noop", (round_, number)).id for number in range(100)]
        cursors = [
            entry["cursor"]["cursorId"]
            for entry in database.client.admin.aggregate([{"$currentOp": {"idleCursors": True}}])
            if entry.get("ns") == f"{database.name}.taskscheduler.jobs" and "cursor" in entry
        ]
        if cursors:
            database.command("killCursors", "taskscheduler.jobs", cursors=cursors)
    assert [job_id for job_id, _ in ear.wait()] == added


_NODE_WITH_HANDLERS = """
import json, logging, sys
logging.basicConfig(level=logging.INFO)
from taskscheduler import Scheduler
from taskscheduler_daemon import QueueNode
from tests.support.jobs import trace
node = QueueNode(Scheduler(sys.argv[1]), jobs=["tests.support.jobs"], name="loud")
node.on("*", lambda event, process: trace(PATH, event))
node.on("taskscheduler.onWorkerSpawn", lambda event, worker: trace(PATH, "spawned", worker.pid))
sys.exit(node.process())
"""


def test_a_node_tells_its_own_handlers(
    scheduler: Scheduler, tmp_path: Path, start_node: Callable[..., NodeProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "events"
    monkeypatch.setattr("tests.support.nodes._MAIN", _NODE_WITH_HANDLERS.replace("PATH", repr(str(log))))
    node = start_node()
    scheduler.add_job("echo").wait(30)
    eventually(lambda: "done" in (words := log.read_text().split()) and "spawned" in words)
    assert {"worker_spawn", "waiting", "processing", "done"} <= set(log.read_text().split())
    assert node.stop() == 0


def test_who_binds_progress_hears_what_jobs_say(
    scheduler: Scheduler, database: Documents, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    heard: list[tuple[str, float, str | None]] = []
    all_heard: list[str] = []
    until = tmp_path / "until"

    def on_progress(event: str, process: Process) -> None:
        heard.append((event, process.progress, process.message))
        until.touch()  # the job ends when it was heard

    scheduler.on("progress", on_progress).on("*", lambda event, process: all_heard.append(event))
    process = scheduler.add_job("progress", {"values": [30], "until": str(until)})
    waiting = in_thread(partial(process.wait, timeout=60, throw=True))
    eventually(lambda: streams(database) == 1)
    start_node()
    waiting.result(60)
    assert ("progress", 30.0, "at 30") in heard
    assert all_heard[-1] == "done"
    assert "progress" not in all_heard


def test_a_listener_in_the_background_hears_progress(scheduler: Scheduler, node: NodeProcess, tmp_path: Path) -> None:
    told: queue.SimpleQueue[float] = queue.SimpleQueue()
    scheduler.on("progress", lambda event, process: told.put(process.progress))
    with scheduler.listen_in_background():
        process = scheduler.add_job("progress", {"values": [42], "until": str(tmp_path / "until")})
        assert told.get(timeout=20) == 42.0
        (tmp_path / "until").touch()
        process.wait(timeout=20)
