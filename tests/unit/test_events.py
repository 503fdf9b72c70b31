"""Names of events, who is called, and a handler that raises."""

from __future__ import annotations

import logging
import threading
from typing import Any, cast

import pytest
from blinker import Namespace
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.errors import InvalidOptionError
from taskscheduler.event_names import EVENTS, STATUS_EVENTS, event_name, full_name
from taskscheduler.events import Announcer, Events, event_of
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process, Processes
from taskscheduler.store.change_events import ChangeEvent

LOGGER = logging.getLogger("tests.events")


class Told:
    """Notes what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def __call__(self, event: str, process: Process) -> None:
        self.calls.append((event, process))

    @property
    def names(self) -> list[str]:
        return [event for event, _ in self.calls]


class FakeProcess:
    id = "5f"


PROCESS = cast(Process, FakeProcess())


@pytest.fixture
def events() -> Events:
    return Events(None, LOGGER)


def test_the_events_are_those_of_the_contract() -> None:
    said = ("waiting", "postponed", "processing", "done", "failed", "timeout", "cancel", "worker_spawn", "worker_kill")
    assert set(EVENTS) == {*said, "gap", "progress", "flow_done", "flow_failed", "flow_canceled"}
    assert STATUS_EVENTS[Status.CANCELED] == "cancel"
    assert set(STATUS_EVENTS) == set(Status)


@table(
    ("given", "short"),
    [
        ("done", "done"),
        ("taskscheduler.onDone", "done"),
        ("taskscheduler.onWaiting", "waiting"),
        ("taskscheduler.onPostponed", "postponed"),
        ("taskscheduler.onProcessing", "processing"),
        ("taskscheduler.onFailed", "failed"),
        ("taskscheduler.onTimeout", "timeout"),
        ("taskscheduler.onCancel", "cancel"),
        ("canceled", "cancel"),
        ("workerSpawn", "worker_spawn"),
        ("workerKill", "worker_kill"),
        ("taskscheduler.onWorkerSpawn", "worker_spawn"),
        ("taskscheduler.onWorkerKill", "worker_kill"),
        ("*", "*"),
    ],
)
def test_an_event_goes_by_its_short_name_and_by_that_of_the_seed(given: str, short: str) -> None:
    assert event_name(given) == short


@table("event", EVENTS)
def test_every_event_is_known_by_both_names(event: str) -> None:
    assert event_name(event) == event_name(full_name(event)) == event


@table("name", ["", "Done", "finished", "taskscheduler.on", "onDone", None, 3, ["done"]])
def test_an_unknown_event_is_an_error_that_names_the_known_ones(events: Events, name: Any) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        events.on(name, Told())
    assert str(caught.value).startswith(f"unknown event {name!r}; the events are waiting, postponed, ")
    assert str(caught.value).endswith("*")


@pytest.mark.parametrize("name", ["done", "taskscheduler.onDone"])
def test_a_handler_is_called_with_the_short_name_and_the_process(events: Events, name: str) -> None:
    told = Told()
    events.on(name, told)
    events.emit("done", PROCESS)
    events.emit("failed", PROCESS)
    assert told.calls == [("done", PROCESS)]


def test_a_handler_for_any_event_hears_all(events: Events) -> None:
    told = Told()
    events.on("*", told)
    for event in EVENTS:
        events.emit(event, PROCESS)
    assert told.names == [event for event in EVENTS if event != "progress" and not event.startswith("flow_")]


def test_all_handlers_of_an_event_are_called(events: Events) -> None:
    all_told = [Told(), Told(), Told()]
    for told, name in zip(all_told, ("done", "done", "*"), strict=True):
        events.on(name, told)
    events.emit("done", PROCESS)
    assert [told.names for told in all_told] == [["done"]] * 3


def test_a_handler_that_nothing_else_refers_to_is_not_forgotten(events: Events) -> None:
    heard: list[str] = []
    events.on("done", lambda event, process: heard.append(event))
    events.emit("done", PROCESS)
    assert heard == ["done"]


def test_events_nobody_listens_to_are_not_wanted(events: Events) -> None:
    assert not events.wanted
    events.emit("done", PROCESS)
    assert not events.wanted
    events.on("done", Told())
    assert events.wanted


def test_two_schedulers_do_not_hear_each_other(events: Events) -> None:
    told = Told()
    events.on("done", told)
    Events(None, LOGGER).emit("done", PROCESS)
    assert told.calls == []


# -- a namespace of your own ------------------------------------------------------------------------------------------


def test_your_own_namespace_gets_signals_with_the_names_of_the_seed() -> None:
    namespace, told = Namespace(), Told()

    def receive(sender: str, process: Process) -> None:
        told(sender, process)

    namespace.signal("taskscheduler.onDone").connect(receive)
    events = Events(namespace, LOGGER)
    assert events.wanted
    events.emit("done", PROCESS)
    events.emit("failed", PROCESS)
    assert told.calls == [("done", PROCESS)]


def test_a_handler_can_be_added_to_a_namespace_while_events_are_emitted() -> None:
    namespace, told = Namespace(), Told()
    events = Events(namespace, LOGGER)
    events.on("done", lambda event, process: events.on("done", told))
    events.emit("done", PROCESS)
    assert told.calls == []
    events.emit("done", PROCESS)
    assert told.names == ["done"]


@table("emitter", [{}, "x", object(), Namespace])
def test_an_emitter_is_a_blinker_namespace(emitter: Any) -> None:
    with pytest.raises(InvalidOptionError, match="option emitter must be a blinker Namespace, not "):
        Events(emitter, LOGGER)


# -- handlers that go wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", [None, "print", 5])
def test_a_handler_must_be_callable(events: Events, handler: Any) -> None:
    with pytest.raises(InvalidOptionError, match="the handler of 'done' must be callable, not "):
        events.on("done", handler)


def test_a_handler_that_raises_is_logged_and_harms_nobody(events: Events, caplog: pytest.LogCaptureFixture) -> None:
    before, after, any_event = Told(), Told(), Told()

    def broken(event: str, process: Process) -> None:
        raise RuntimeError("handler is broken")

    events.on("done", before)
    events.on("done", broken)
    events.on("done", after)
    events.on("*", broken)
    events.on("*", any_event)
    with caplog.at_level(logging.ERROR, logger=LOGGER.name):
        events.emit("done", PROCESS)
    assert [told.names for told in (before, after, any_event)] == [["done"]] * 3
    assert [record.getMessage() for record in caplog.records] == ["event handler failed"] * 2
    record = caplog.records[0]
    assert (record.__dict__["event"], record.__dict__["job"]) == ("done", "5f")
    assert record.exc_info is not None
    assert "handler is broken" in str(record.exc_info[1])


def test_a_handler_that_wants_to_end_the_program_does(events: Events) -> None:
    def leave(event: str, process: Process) -> None:
        raise KeyboardInterrupt

    events.on("done", leave)
    with pytest.raises(KeyboardInterrupt):
        events.emit("done", PROCESS)


def test_a_handler_in_a_thread_of_ours_ends_nothing(events: Events, caplog: pytest.LogCaptureFixture) -> None:
    def leave(event: str, process: Process) -> None:
        raise SystemExit(3)

    told = Told()
    events.on("done", leave)
    events.on("done", told)
    thread = threading.Thread(target=events.emit, args=("done", PROCESS))
    thread.start()
    thread.join()
    assert told.names == ["done"]
    assert "event handler failed" in caplog.text


# -- announcing -------------------------------------------------------------------------------------------------------


class FakeListener:
    """Delivers events in the background as long as it runs."""

    def __init__(self, running: bool = True) -> None:
        self.running = running
        self.stopped = 0

    def stop(self) -> None:
        self.running = False
        self.stopped += 1


class FakeAccess:
    """Stands for the scheduler of a process."""


def document(status: Status = Status.WAITING) -> dict[str, Any]:
    return {"_id": ObjectId("5f" * 12), "status": int(status)}


@pytest.fixture
def announcer(events: Events) -> Announcer:
    return Announcer(events, Processes(cast(Any, FakeAccess())))


def test_an_added_job_is_announced_with_its_status_and_returned(events: Events, announcer: Announcer) -> None:
    told = Told()
    events.on("*", told)
    for outcome in ("created", "existing", "replaced", None):
        process = Process(cast(Any, None), {**document(Status.POSTPONED), "_id": outcome}, outcome)
        assert announcer.announce_added(process) is process
    assert told.names == ["postponed"] * 3
    assert [process.outcome for _, process in told.calls] == ["created", "replaced", None]


def test_a_stored_job_is_announced_by_its_status(events: Events, announcer: Announcer) -> None:
    told = Told()
    events.on("*", told)
    announcer.announce_status(document(Status.CANCELED))
    assert told.names == ["cancel"]
    assert isinstance(told.calls[0][1], Process)


def test_a_change_is_announced_as_its_status_or_as_progress(events: Events, announcer: Announcer) -> None:
    told = Told()
    for event in ("*", "progress"):
        events.on(event, told)
    changes = [
        ChangeEvent(Status.PROCESSING, document(Status.PROCESSING), progress=True),
        ChangeEvent(Status.DONE, document(Status.DONE)),
    ]
    for change in changes:
        announcer.announce_change(change)
    assert told.names == [event_of(change) for change in changes] == ["progress", "done"]


def test_nothing_is_announced_while_a_listener_delivers_in_the_background(events: Events, announcer: Announcer) -> None:
    told, listener = Told(), FakeListener()
    for event in ("*", "progress"):
        events.on(event, told)
    assert (announcer.wanted, announcer.wants_progress) == (True, True)
    announcer.leave_to(listener)
    assert (announcer.wanted, announcer.wants_progress) == (False, False)
    process = Process(cast(Any, None), document(Status.FAILED))
    announcer.announce("failed", process)
    announcer.announce_status(document())
    listener.running = False
    announcer.announce("failed", process)
    assert told.names == ["failed"]
    assert (announcer.wanted, announcer.wants_progress) == (True, True)


def test_progress_is_wanted_only_where_a_handler_asks_for_it(events: Events, announcer: Announcer) -> None:
    assert not announcer.wanted
    events.on("*", Told())
    assert (announcer.wanted, announcer.wants_progress) == (True, False)


def test_listeners_that_still_run_are_stopped_once(announcer: Announcer) -> None:
    running, ended = FakeListener(), FakeListener()
    for listener in (ended, running):
        announcer.leave_to(listener)
    ended.running = False
    for _ in range(2):
        announcer.stop_listeners()
    assert (running.stopped, ended.stopped) == (1, 0)


def test_who_is_slow_is_overtaken_by_no_later_change_of_the_same_job(events: Events, announcer: Announcer) -> None:
    begun, go, heard = threading.Event(), threading.Event(), list[tuple[str, int]]()

    def slow(name: str, process: Process) -> None:
        heard.append((name, threading.get_ident()))
        if not begun.is_set():
            begun.set()
            assert go.wait(30)

    events.on("*", slow)
    thread = threading.Thread(target=announcer.announce_status, args=[document(Status.WAITING)])
    thread.start()
    assert begun.wait(30)
    announcer.announce_status({**document(Status.PROCESSING), "attempt": 1})  # does not wait for the handler
    announcer.announce_status({**document(Status.WAITING), "_id": ObjectId()})
    go.set()
    thread.join(10)
    names = [name for name, _ in heard]
    assert names == ["waiting", "waiting", "processing"]
    assert heard[2][1] == heard[0][1] != heard[1][1]


def test_a_handler_that_ends_the_program_leaves_nothing_behind(events: Events, announcer: Announcer) -> None:
    told, leave = Told(), [True]

    def exits(_name: str, _process: Process) -> None:
        if leave.pop():
            leave.append(False)
            raise SystemExit

    events.on("*", exits)
    events.on("*", told)
    with pytest.raises(SystemExit):
        announcer.announce_status(document(Status.WAITING))
    announcer.announce_status({**document(Status.PROCESSING), "attempt": 1})
    assert "processing" in told.names
