"""The life of a session: what ends it, and what is handed back then."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.support.eventually import eventually
from tests.unit.node.fakes import FakeClock, FakeFeed, FakeStore, attempt, report

from taskscheduler.model.lifecycle import Ending, Transition
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.channel import Receiver, Sender
from taskscheduler_daemon.ipc.link import Link, ManagerSettings
from taskscheduler_daemon.ipc.messages import Kind
from taskscheduler_daemon.node import session as session_module
from taskscheduler_daemon.node import wakeups
from taskscheduler_daemon.node.dispatch import manager_watchdog
from taskscheduler_daemon.node.maintenance.rescan import Rescan
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.session import Session
from taskscheduler_daemon.node.state.in_flight import Attempt
from taskscheduler_daemon.node.state.session_end import SessionEnd
from taskscheduler_daemon.system.exits import EXIT_BOOT, ChildExit
from taskscheduler_daemon.system.signal_pipe import SignalPipe

MANAGER = 4711  #: a pid that nobody looks up here


class Bench:
    """A session in a thread of its own, and the other end of its channels."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.store, self.clock = FakeStore(), FakeClock()
        self.link = Link(ManagerSettings(10, 0.5, 0.5, 1000))
        self.link.manager_pid = MANAGER
        self.signals = SignalPipe([])
        self.announced: list[dict[str, Any]] = []
        self.killed: list[int] = []
        self.how: ChildExit | None = None  #: how the manager has ended
        monkeypatch.setattr(wakeups, "ChangeFeed", FakeFeed)
        monkeypatch.setattr(manager_watchdog, "kill_tree", self.killed.append)
        monkeypatch.setattr(session_module, "ended", lambda pid: self.how)
        monkeypatch.setattr(session_module, "reap_strangers", lambda known: None)
        monkeypatch.setattr("taskscheduler_daemon.node.maintenance.schema_keeper.ensure", lambda *_: frozenset())
        self.session = Session(
            store=self.store.store,
            options=NodeOptions(name="node", orphaned_timeout=3000.0, **options),
            link=self.link,
            signals=self.signals,
            announce=self.announced.append,
            clock=self.clock,
        )
        self.parts = self.session._parts
        self._up, self._down = Sender(self.link.up), Receiver(self.link.down)
        self.received: list[bytes] = []  #: what the manager was sent
        self.end: SessionEnd | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.end = self.session.run()

    def start(self, slots: int = 0) -> None:
        self._thread.start()
        eventually(lambda: Kind.LEASE in self.sent_kinds())
        if slots:
            self.send(messages.notice(Kind.POOL, pm="static", slots=slots, async_jobs=0, forced=16))
            eventually(lambda: self.parts.capacity.slots == slots)

    def send(self, message: bytes) -> None:
        """The manager sends something."""
        self._up.push(message)
        assert self._up.flush()

    def sent_kinds(self) -> list[int]:
        self.received += self._down.receive()
        return [messages.kind_of(message) for message in self.received]

    def sent_leases(self) -> list[float]:
        """Until when the manager may work, each time that it was told."""
        self.sent_kinds()
        return [messages.time_of(message) for message in self.received if messages.kind_of(message) == Kind.LEASE]

    def running(self) -> Attempt:
        """An attempt that is in flight."""
        one = attempt(claimed_at=self.clock.seconds)
        self.parts.capacity.admit([one])
        return one

    def over(self) -> SessionEnd | None:
        """How the session ended; closed as a node does it."""
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.session.close()
        return self.end

    def release(self) -> None:
        if self._thread.is_alive():
            self.session.lease_lost()
            self.over()
        self.signals.close()
        self.link.close()

    @property
    def written(self) -> dict[ObjectId, Transition]:
        return {one.fence.job_id: one.verdict.move for one in self.store.completions.written}

    @property
    def is_registered(self) -> bool:
        return self.parts.node.boot in self.store.nodes.registered


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Options as a parameter."""
    bench = Bench(monkeypatch, **getattr(request, "param", {}))
    yield bench
    bench.release()


def test_a_job_runs_and_its_end_is_written(bench: Bench) -> None:
    bench.start(slots=2)
    (job_id,) = bench.store.claims.add()
    bench.parts.claimer.hint([job_id], ["default"], forced=False, later=False)
    eventually(lambda: Kind.RUN in bench.sent_kinds())
    one = bench.parts.in_flight.get(job_id.binary)
    assert one is not None
    bench.send(report(one, Ending.SUCCEEDED).encode())
    eventually(lambda: bench.written == {job_id: Transition.SUCCEED})
    assert (bench.session.finished, len(bench.parts.in_flight)) == (1, 0)


def test_a_stop_ends_claiming_then_asks_the_manager_and_signs_off(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    bench.start()
    bench.signals.send(signal.SIGTERM)
    eventually(lambda: Kind.STOP in bench.sent_kinds())
    stop = next(message for message in bench.received if messages.kind_of(message) == Kind.STOP)
    assert messages.time_of(stop) == 10.0
    assert not bench.parts.claimer._thread.is_alive()  # type: ignore[union-attr]
    bench.send(messages.notice(Kind.STOPPED))
    assert bench.over() is SessionEnd.STOPPED
    assert (bench.killed, bench.is_registered) == ([], False)
    assert "node ready" in caplog.text
    assert "node stops" in caplog.text


STEPS = ["watchdog.kill", "claimer.stop", "wakeups.stop", "maintainer.stop", "completer.stop"]


@pytest.mark.parametrize("broken", [*STEPS, "dispatcher.release_all"])
def test_a_part_that_cannot_close_keeps_no_other_one_from_closing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    bench.start()
    one = bench.running()
    part, method = broken.split(".")
    original = getattr(getattr(bench.parts, part), method)

    def fail(*_: object) -> None:
        raise RuntimeError(f"no {broken}")

    monkeypatch.setattr(getattr(bench.parts, part), method, fail)
    bench.session._crashed()
    with pytest.raises(RuntimeError, match=broken):
        bench.over()
    if "stop" in method:
        original()
    assert not any(thread.name.startswith("taskscheduler-") for thread in threading.enumerate())
    is_handed_back = broken not in ("watchdog.kill", "dispatcher.release_all")  # what may still run is not
    assert bench.written == ({one.fence.job_id: Transition.RELEASE} if is_handed_back else {})
    assert bench.is_registered is (broken == "completer.stop")


def test_a_second_signal_stops_at_once(bench: Bench) -> None:
    bench.start()
    bench.signals.send(signal.SIGINT)
    eventually(lambda: Kind.STOP in bench.sent_kinds())
    bench.signals.send(signal.SIGTERM)
    eventually(lambda: bench.sent_kinds().count(Kind.STOP) == 2)
    assert messages.time_of(bench.received[-1]) == 0.0
    assert bench.parts.watchdog.until_kill(60.0) == 1.5
    bench.send(messages.notice(Kind.STOPPED))
    assert bench.over() is SessionEnd.STOPPED


def test_a_hangup_replaces_the_workers(bench: Bench) -> None:
    bench.start()
    bench.signals.send(signal.SIGHUP)
    eventually(lambda: Kind.RECYCLE in bench.sent_kinds())
    assert bench.end is None


@pytest.mark.parametrize("bench", [{"max_jobs": 1}], indirect=True)
def test_a_node_that_has_used_up_its_budget_stops_when_nothing_runs(bench: Bench) -> None:
    one = bench.running()
    bench.start()
    assert Kind.STOP not in bench.sent_kinds()
    bench.send(report(one, Ending.SUCCEEDED).encode())
    eventually(lambda: Kind.STOP in bench.sent_kinds())
    bench.send(messages.notice(Kind.STOPPED))
    assert bench.over() is SessionEnd.STOPPED


@pytest.mark.parametrize(
    ("number", "begun", "losses", "suspects"),
    [
        (signal.SIGKILL, 0, 0, 0),
        (signal.SIGKILL, 1, 1, 0),
        (signal.SIGKILL, 2, 0, 2),
        (signal.SIGHUP, 1, 0, 0),
        (signal.SIGHUP, 2, 0, 0),
    ],
)
def test_only_what_ran_when_a_manager_died_by_itself_may_be_the_cause(
    bench: Bench, number: int, begun: int, losses: int, suspects: int
) -> None:
    reported, *held = [bench.running() for _ in range(4)]
    for one in held[:begun]:
        bench.link.begun.row(1).begin(one.fence.job_id.binary, one.fence.attempt)
    bench.start(slots=2)
    bench.how = ChildExit(MANAGER, None, number, 0)
    bench.send(report(reported, Ending.SUCCEEDED).encode())
    bench.signals.send(signal.SIGCHLD)
    assert bench.over() is SessionEnd.MANAGER_DIED
    assert bench.written == {
        reported.fence.job_id: Transition.SUCCEED,
        **{one.fence.job_id: Transition.RELEASE for one in held},
    }
    written = [one for one in bench.store.completions.written if one.fence != reported.fence]
    assert [one.fence for one in written if one.lost] == [one.fence for one in held][:losses]
    assert [one.fence for one in written if one.suspect] == [one.fence for one in held][:suspects]
    assert all(one.lost or one.suspect or (one.error is None and one.reason) for one in written)


def test_a_manager_that_ends_in_good_order_ends_the_session_but_not_the_node(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """It was asked to end by somebody else: its node has to start another one."""
    left = bench.running()
    bench.start(slots=2)
    bench.send(messages.notice(Kind.STOPPED))
    assert bench.over() is SessionEnd.MANAGER_ENDED
    assert bench.written == {left.fence.job_id: Transition.RELEASE}
    assert [one.lost for one in bench.store.completions.written] == [False]
    assert "the worker manager ended by itself" in caplog.text


@pytest.mark.parametrize("how", [ChildExit(MANAGER, 7, None, 0), ChildExit(MANAGER, 0, None, 0)])
def test_a_manager_that_ended_before_it_introduced_itself_was_not_built(bench: Bench, how: ChildExit) -> None:
    bench.start()
    bench.how = how
    bench.signals.send(signal.SIGCHLD)
    assert bench.over() is SessionEnd.MANAGER_NOT_BUILT


@pytest.mark.parametrize("says_so", [False, True])
def test_a_manager_that_cannot_build_workers_ends_it_for_good(bench: Bench, says_so: bool) -> None:
    bench.start()
    bench.signals.send(signal.SIGTERM)
    eventually(lambda: Kind.STOP in bench.sent_kinds())
    bench.how = ChildExit(MANAGER, EXIT_BOOT, None, 0)
    if says_so:
        bench.send(messages.notice(Kind.BROKEN))
    else:
        bench.signals.send(signal.SIGCHLD)
    assert bench.over() is SessionEnd.BROKEN


def test_a_lost_lease_ends_everything_and_writes_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    running = bench.running()
    bench.start()
    bench.store.nodes.lost.append(bench.parts.node.boot)
    bench.session._heartbeat.beat_now()
    assert bench.over() is SessionEnd.LEASE_LOST
    assert bench.killed == [MANAGER], "others run its jobs now"
    assert bench.written == {}
    assert "has taken over" in caplog.text
    assert bench.store.leases.absolved == [running.fence], "its job is not to blame"


def test_a_crash_of_a_thread_hands_everything_back(bench: Bench) -> None:
    one = bench.running()
    bench.start()
    bench.store.faults.fail("nodes.beat", UnboundLocalError("a bug"))
    bench.session._heartbeat.beat_now()
    assert bench.over() is SessionEnd.CRASHED
    assert bench.killed == [MANAGER], "nothing may run any more when it is handed back"
    assert bench.written == {one.fence.job_id: Transition.RELEASE}
    assert [completion.lost for completion in bench.store.completions.written] == [False]


def test_a_manager_that_hangs_is_killed(bench: Bench) -> None:
    bench.start(slots=1)
    bench.session._heartbeat.beat_now()
    eventually(lambda: not bench.parts.watchdog.is_answering)
    bench.clock.seconds += 3001.0
    bench.signals.wake()
    eventually(lambda: bench.killed == [MANAGER])


def test_a_renewal_after_a_time_without_a_lease_searches_everywhere(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rescan, "run", lambda self: None)
    bench.start(slots=1)
    eventually(lambda: not bench.parts.claimer._search.more)
    bench.clock.seconds += 2800.0
    (job_id,) = bench.store.claims.add()
    bench.session._heartbeat.beat_now()
    eventually(lambda: bench.parts.in_flight.get(job_id.binary) is not None)
    eventually(lambda: bench.sent_leases()[-1:] == [bench.parts.lease.safe_until])


def test_a_node_that_stops_writes_its_results_until_its_lease_is_over(bench: Bench) -> None:
    one = bench.running()
    bench.start()
    bench.store.faults.fail("completions.write", *[AutoReconnect("cut")] * 1000)
    bench.signals.send(signal.SIGTERM)
    eventually(lambda: Kind.STOP in bench.sent_kinds())
    bench.send(report(one, Ending.SUCCEEDED).encode())
    bench.send(messages.notice(Kind.STOPPED))
    assert not bench.session._may_drop_results()
    bench._thread.join(20)
    bench.clock.seconds += 2700.0
    assert bench.over() is SessionEnd.STOPPED
    assert (bench.written, bench.is_registered) == ({}, True), "it still holds a job"


def test_another_signal_ends_that_too(bench: Bench) -> None:
    bench.start()
    assert not bench.session._may_drop_results()
    bench.signals.send(signal.SIGTERM)
    eventually(lambda: Kind.STOP in bench.sent_kinds())
    bench.send(messages.notice(Kind.STOPPED))
    bench._thread.join(20)
    assert not bench.session._may_drop_results()
    bench.signals.send(signal.SIGTERM)
    assert bench.session._may_drop_results()
    assert bench.over() is SessionEnd.STOPPED


def test_a_node_that_still_holds_jobs_stays_registered(bench: Bench) -> None:
    bench.start()
    bench.store.leases.held[bench.parts.node.boot] = [attempt().fence]
    bench.signals.send(signal.SIGTERM)
    eventually(lambda: Kind.STOP in bench.sent_kinds())
    bench.send(messages.notice(Kind.STOPPED))
    assert bench.over() is SessionEnd.STOPPED
    assert bench.is_registered


def test_a_start_that_fails_can_be_closed(bench: Bench) -> None:
    bench.store.faults.fail("nodes.register", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        bench.session.run()
    bench.session.close()
    assert bench.killed == [MANAGER]
