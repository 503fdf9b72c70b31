"""What becomes of attempts that are cancelled while messages cross each other."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.unit.node.fakes import lease

from taskscheduler.model.lifecycle import Ending
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.ipc.messages import Report
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.completion.job_log import JobLog
from taskscheduler_daemon.node.dispatch.dispatcher import Dispatcher
from taskscheduler_daemon.node.dispatch.quarantine import ALONE, CROWD
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight

STOPS = {"stop_soft": 10, "stop_hard": 10}  #: what a node reads of a service


class Surroundings:
    """A clock that only we move, a manager that notes what it is told, and a database that is told of solo jobs."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.dispatched: list[bytes] = []
        self.cancelled: list[ObjectId] = []
        self.extended: list[Fence] = []
        self.released: list[Fence] = []
        self.woken = 0
        self.held: set[Fence] = set()  #: what the database counts as ours
        self.looked_at: list[Fence] = []
        self.failure: Exception | None = None
        self.leases = SimpleNamespace(still_held=self._still_held)

    def _still_held(self, fences: list[Fence]) -> set[ObjectId]:
        self.looked_at += fences
        if self.failure is not None:
            raise self.failure
        return {fence.job_id for fence in fences if fence in self.held}

    def wake(self) -> None:
        self.woken += 1

    def monotonic(self) -> float:
        return self.now

    def dispatch(self, runs: Any) -> None:
        self.dispatched += [run.job_id for run in runs]

    def cancel(self, ids: list[ObjectId]) -> None:
        self.cancelled += ids

    def store(self) -> Any:
        locks = SimpleNamespace(extend=lambda fence, _: self.extended.append(fence), release=self.released.append)
        services = SimpleNamespace(gone=self.released.append)
        return SimpleNamespace(places=locks, admission=locks, services=services)


class Crossing(InFlight):
    """At the moment in which an attempt is taken from it, the manager says that nothing is left of it."""

    locks: ExclusiveLocks

    def pop(self, job_id: bytes, attempt: int) -> Attempt | None:
        popped = super().pop(job_id, attempt)
        self.locks.release(job_id, attempt)
        return popped


@pytest.fixture
def around() -> Surroundings:
    return Surroundings()


def dispatcher(around: Surroundings, in_flight: InFlight, locks: ExclusiveLocks) -> Dispatcher:
    fake = cast(Any, around)
    return Dispatcher(fake, in_flight, locks, fake, cast(Any, Ends()), JobLog(fake), fake)


def attempt(**more: Any) -> Attempt:
    job = {"options": {"force_spawn": False, "timeout": 0}, **more}
    return Attempt(Fence(ObjectId(), "claim", 1), job, b"", 0.0)


def test_a_solo_job_that_is_gone_while_it_is_cancelled_does_not_keep_its_turn_for_ever(around: Surroundings) -> None:
    in_flight, solo = Crossing(), attempt(solo="key")
    in_flight.locks = ExclusiveLocks(around.store(), lease())
    in_flight.add([solo])
    dispatcher(around, in_flight, in_flight.locks).cancel([solo.fence.job_id])
    assert around.released == [solo.fence]
    before = len(around.extended)
    in_flight.locks.extend_all()
    assert len(around.extended) == before


def test_one_that_has_ended_before_it_is_not_waited_for(around: Surroundings) -> None:
    locks, solo = ExclusiveLocks(around.store(), lease()), attempt(solo="key")

    class Ended(InFlight):
        def pop(self, job_id: bytes, attempt: int) -> Attempt | None:
            if super().pop(job_id, attempt) is not None:
                locks.release_after_end(solo)  # the main loop was faster
            return None

    in_flight = Ended()
    in_flight.add([solo])
    dispatcher(around, in_flight, locks).cancel([solo.fence.job_id])
    assert around.cancelled == []
    assert around.released == [solo.fence]
    before = len(around.extended)
    locks.extend_all()
    assert len(around.extended) == before


def test_two_threads_that_give_up_the_same_attempt_keep_its_lock(around: Surroundings) -> None:
    """One hears the message, and the other one asks the database."""
    locks, solo = ExclusiveLocks(around.store(), lease()), attempt(solo="key")

    class Meeting(InFlight):
        """Both threads look at once, if they can."""

        barrier = threading.Barrier(2, timeout=0.2)

        def get(self, job_id: bytes) -> Attempt | None:
            found = super().get(job_id)
            with suppress(threading.BrokenBarrierError):
                self.barrier.wait()
            return found

    in_flight = Meeting()
    in_flight.add([solo])
    under_test = dispatcher(around, in_flight, locks)
    with ThreadPoolExecutor(2) as threads:
        for given_up in [threads.submit(under_test.give_up, [solo.fence]) for _ in range(2)]:
            given_up.result()
    assert around.cancelled == [solo.fence.job_id]
    locks.release(solo.fence.job_id.binary, 1)
    assert around.released == [solo.fence]


def test_a_job_that_was_cancelled_while_it_was_claimed_is_not_dispatched(around: Surroundings) -> None:
    in_flight, service = InFlight(), attempt(service=STOPS)
    under_test = dispatcher(around, in_flight, ExclusiveLocks(around.store(), lease()))
    under_test.cancel([service.fence.job_id])
    in_flight.add([service])
    under_test.dispatch([service])
    assert (around.dispatched, len(in_flight)) == ([], 0)
    assert around.released == [service.fence], "nothing of it will ever run"


def test_a_job_that_runs_again_is_dispatched_although_it_was_cancelled(around: Surroundings) -> None:
    """It was claimed anew: dropped, it would be ours in the database and nowhere else."""
    in_flight, other, again = InFlight(), attempt(), attempt(service=STOPS)
    under_test = dispatcher(around, in_flight, ExclusiveLocks(around.store(), lease()))
    under_test.cancel([again.fence.job_id])
    around.held.add(again.fence)
    in_flight.add([again, other])
    under_test.dispatch([again, other])
    assert around.dispatched == [other.fence.job_id.binary, again.fence.job_id.binary]
    assert (len(in_flight), around.released) == (2, [])
    assert around.looked_at == [again.fence]
    around.now += 10
    under_test.dispatch([again])
    assert around.looked_at == [again.fence], "only for a while"


def test_without_an_answer_a_job_that_was_cancelled_is_dispatched(
    around: Surroundings, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that run are checked soon; one that was dropped would be found by nobody."""
    caplog.set_level("INFO")
    in_flight, again = InFlight(), attempt()
    under_test = dispatcher(around, in_flight, ExclusiveLocks(around.store(), lease()))
    under_test.cancel([again.fence.job_id])
    around.failure = AutoReconnect("cut")
    in_flight.add([again])
    under_test.dispatch([again])
    assert around.dispatched == [again.fence.job_id.binary]
    assert "cancelled jobs not checked yet" in caplog.text


def test_one_that_is_cancelled_during_the_look_is_not_dispatched(around: Surroundings) -> None:
    in_flight, service = InFlight(), attempt(service=STOPS)
    under_test = dispatcher(around, in_flight, ExclusiveLocks(around.store(), lease()))
    under_test.cancel([service.fence.job_id])

    def cancelled_meanwhile(fences: list[Fence]) -> set[ObjectId]:
        under_test.give_up(fences)
        return {service.fence.job_id}

    around.leases.still_held = cancelled_meanwhile
    in_flight.add([service])
    under_test.dispatch([service])
    assert (around.dispatched, around.released) == ([], [service.fence])


# -- cancelling -------------------------------------------------------------------------------------------------------


def test_a_late_message_does_not_kill_a_job_that_runs_again(around: Surroundings) -> None:
    in_flight, gone, again = InFlight(), attempt(), attempt()
    under_test = dispatcher(around, in_flight, ExclusiveLocks(around.store(), lease()))
    in_flight.add([gone, again])
    around.held.add(again.fence)
    under_test.cancel([gone.fence.job_id, again.fence.job_id, ObjectId()])
    assert around.cancelled == [gone.fence.job_id]
    assert in_flight.all() == [again]


def test_without_an_answer_nothing_that_runs_here_is_killed(around: Surroundings) -> None:
    in_flight, running, service = InFlight(), attempt(), attempt(service=STOPS)
    locks = ExclusiveLocks(around.store(), lease())
    under_test = dispatcher(around, in_flight, locks)
    in_flight.add([running])
    locks.release_after_end(service)
    around.failure = AutoReconnect("cut")
    under_test.cancel([running.fence.job_id, service.fence.job_id])
    assert (around.cancelled, in_flight.all()) == ([], [running])
    assert around.released == [service.fence], "it had ended before"


def test_jobs_that_run_elsewhere_cost_no_look_at_the_database(around: Surroundings) -> None:
    dispatcher(around, InFlight(), ExclusiveLocks(around.store(), lease())).cancel([ObjectId()])
    assert around.looked_at == []


def test_only_the_attempt_that_is_given_up_is_killed(around: Surroundings) -> None:
    """While a node asks which of its attempts are gone it may claim the same job again."""
    in_flight, again = InFlight(), attempt(service=STOPS)
    under_test = dispatcher(around, in_flight, ExclusiveLocks(around.store(), lease()))
    in_flight.add([again])
    under_test.give_up([again.fence._replace(claim="another")])
    assert (around.cancelled, in_flight.all()) == ([], [again])


def test_many_threads_may_hear_of_cancellations_at_once(around: Surroundings) -> None:
    under_test = dispatcher(around, InFlight(), ExclusiveLocks(around.store(), lease()))
    late = attempt()
    ids = [late.fence.job_id, *(ObjectId() for _ in range(1000))]

    def hear(number: int) -> None:
        for turn in range(40):
            under_test.cancel(ids[number :: turn % 7 + 1])
            under_test.dispatch([late])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(hear, range(4)))
    finally:
        sys.setswitchinterval(before)


class Ends:
    """A completer that notes the ends that it is to write."""

    def __init__(self) -> None:
        self.submitted: list[Any] = []
        self.not_begun: list[Any] = []
        self.cancelled: Any = [].append

    def end(self, one: Attempt, report: Report) -> None:
        content = report.content()
        if content.get("begun") is False:
            self.not_begun.append(one.fence)
        self.submitted.append((one.fence, report.ending, content.get("error", content.get("reason"))))


def test_an_attempt_that_the_manager_does_not_know_is_handed_back_and_cancelled(around: Surroundings) -> None:
    in_flight, ends, lost = InFlight(), Ends(), attempt(service=STOPS)
    locks, fake = ExclusiveLocks(around.store(), lease()), cast(Any, around)
    under_test = Dispatcher(fake, in_flight, locks, fake, cast(Any, ends), JobLog(fake), fake)
    under_test.missing(lost.fence)
    assert (ends.submitted, around.cancelled) == ([], []), "its end has arrived in the meantime"
    in_flight.add([lost])
    under_test.missing(lost.fence)
    assert ends.submitted == [(lost.fence, Ending.RETURNED, "the worker manager lost track of the job")]
    assert (around.cancelled, len(in_flight)) == ([lost.fence.job_id], 0)
    locks.release_unknown(lost.fence)
    assert around.released == [lost.fence], "it may have been cancelled before its end was written"


@pytest.mark.parametrize("begun", [True, False])
def test_everything_is_released_when_the_manager_is_gone(around: Surroundings, begun: bool) -> None:
    in_flight, ends = InFlight(), Ends()
    cancelled, running = attempt(solo="key"), attempt(solo="other")
    locks, fake = ExclusiveLocks(around.store(), lease()), cast(Any, around)
    under_test = Dispatcher(fake, in_flight, locks, fake, cast(Any, ends), JobLog(fake), fake)
    in_flight.add([cancelled, running])
    under_test.cancel([cancelled.fence.job_id])
    under_test.release_all("died", frozenset({(running.fence.job_id.binary, 1)}) if begun else frozenset())
    error = {"type": "WorkerLostError", "message": "died"} if begun else "died"
    assert ends.submitted == [(running.fence, Ending.LOST if begun else Ending.RETURNED, error)]
    assert ends.not_begun == ([] if begun else [running.fence])
    assert around.released == [cancelled.fence], "nobody runs it any more"
    locks.release_unknown(running.fence)
    assert around.released == [cancelled.fence, running.fence], "it may have been cancelled before its end was written"


def test_starts_and_cancellations_are_logged(around: Surroundings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    in_flight, one, other = InFlight(), attempt(**{"class": "mail"}), attempt(**{"class": "mail"})
    under_test = dispatcher(around, in_flight, ExclusiveLocks(around.store(), lease()))
    in_flight.add([one, other])
    under_test.cancel([other.fence.job_id])
    under_test.dispatch([one, other])
    said = [(record.getMessage(), vars(record)["job"], vars(record)["job_name"]) for record in caplog.records]
    assert said == [("job cancelled", str(other.fence.job_id), "mail"), ("job starts", str(one.fence.job_id), "mail")]


# -- suspects ---------------------------------------------------------------------------------------------------------


class Notes:
    """A store that notes which suspects run alone, and which places are released."""

    def __init__(self, around: Surroundings) -> None:
        self.alone: list[tuple[Fence, bool]] = []
        self.leases = SimpleNamespace(note_alone=self._note_alone, still_held=around.leases.still_held)
        self.places = around.store().places
        self.admission = self.places

    def _note_alone(self, fences: list[Fence], alone: bool) -> None:
        self.alone += [(fence, alone) for fence in fences]


def quarantining(around: Surroundings) -> tuple[Dispatcher, Notes, Ends, InFlight]:
    notes, ends, in_flight, fake = Notes(around), Ends(), InFlight(), cast(Any, around)
    locks = ExclusiveLocks(cast(Any, notes), lease())
    return (
        Dispatcher(cast(Any, notes), in_flight, locks, fake, cast(Any, ends), JobLog(fake), fake),
        notes,
        ends,
        in_flight,
    )


def a_suspect(**more: Any) -> Attempt:
    return attempt(suspect={"of": "node", "times": 1}, **more)


def test_the_database_is_told_which_suspect_runs_alone(around: Surroundings) -> None:
    under_test, notes, _, in_flight = quarantining(around)
    suspect, other = a_suspect(), attempt()
    in_flight.add([suspect, other])
    under_test.dispatch([suspect, other])
    assert (around.dispatched, around.woken) == ([], 1), "the main loop looks"
    assert under_test.review(around.now) == []
    assert around.dispatched == [suspect.fence.job_id.binary]
    assert notes.alone == [(suspect.fence, True)]
    in_flight.pop(suspect.fence.job_id.binary, 1)
    under_test.review(around.now)
    assert around.dispatched[1:] == [other.fence.job_id.binary]
    assert len(notes.alone) == 1, "one that has ended needs no note"


def test_the_database_is_told_which_part_of_a_crowd_runs(around: Surroundings) -> None:
    under_test, notes, _, in_flight = quarantining(around)
    crowd = [a_suspect() for _ in range(2 * CROWD)]
    in_flight.add(crowd)
    under_test.dispatch(crowd)
    under_test.review(around.now)
    assert notes.alone == [(one.fence, True) for one in reversed(crowd[-2:])]
    in_flight.pop(crowd[-1].fence.job_id.binary, 1)
    under_test.review(around.now)
    assert len(notes.alone) == 2, "the other one is alone as before"
    under_test.review(around.now + ALONE + 1)
    assert notes.alone[2:] == [(crowd[-2].fence, False)], "it gets company, and the others wait until it has ended"


def test_the_database_is_told_when_a_suspect_gets_company(around: Surroundings) -> None:
    under_test, notes, _, in_flight = quarantining(around)
    suspect = a_suspect()
    in_flight.add([suspect])
    under_test.dispatch([suspect])
    under_test.review(around.now)
    under_test.review(around.now + ALONE + 1)
    assert notes.alone == [(suspect.fence, True), (suspect.fence, False)]


def test_jobs_that_are_kept_for_long_are_reported_as_not_begun(around: Surroundings) -> None:
    under_test, _, _, in_flight = quarantining(around)
    suspect, other = a_suspect(), attempt()
    in_flight.add([suspect, other])
    under_test.dispatch([suspect, other])
    under_test.review(around.now)
    (report,) = under_test.review(around.now + 1)
    assert (report.job_id, report.ending, report.body) == (other.fence.job_id.binary, Ending.UNSTARTED, b"")


def test_no_process_has_to_be_gone_of_a_cancelled_job_that_was_kept(around: Surroundings) -> None:
    under_test, _, _, in_flight = quarantining(around)
    first, second = a_suspect(solo="key"), a_suspect()
    in_flight.add([first, second])
    under_test.dispatch([first, second])
    under_test.review(around.now)
    assert first.kept
    under_test.cancel([first.fence.job_id])
    assert around.released == [first.fence]


def test_a_manager_that_dies_with_a_suspect_alone_clears_those_that_waited(around: Surroundings) -> None:
    under_test, _, ends, in_flight = quarantining(around)
    waits, alone = a_suspect(), a_suspect()
    in_flight.add([waits, alone])
    under_test.dispatch([waits, alone])
    under_test.review(around.now)
    under_test.release_all("it died", frozenset({(alone.fence.job_id.binary, 1)}))
    assert [(fence, ending) for fence, ending, _ in ends.submitted] == [
        (waits.fence, Ending.UNSTARTED),
        (alone.fence, Ending.LOST),
    ]
    assert (waits.cleared, alone.cleared) == (True, False)


def test_a_notification_that_ran_beside_a_job_makes_it_a_suspect(around: Surroundings) -> None:
    under_test, _, ends, in_flight = quarantining(around)
    running = attempt()
    in_flight.add([running])
    begun = frozenset({(running.fence.job_id.binary, 1), (ObjectId().binary, 0)})
    under_test.release_all("it died", begun)
    assert [ending for _, ending, _ in ends.submitted] == [Ending.SUSPECTED]


# -- batches -----------------------------------------------------------------------------------------------------------


def gatherers(count: int) -> list[Attempt]:
    options = {"force_spawn": False, "timeout": 0}
    job = {"class": "mail", "queue": "default", "batch": {"size": count, "wait": 0}, "options": options, "hook": False}
    return [Attempt(Fence(ObjectId(), "claim", 1), {**job, "_id": ObjectId()}, b"", 0.0) for _ in range(count)]


def test_a_full_batch_is_dispatched_as_one_and_killed_when_none_of_its_jobs_is_ours(around: Surroundings) -> None:
    in_flight, (one, other) = InFlight(), gatherers(2)
    under_test = dispatcher(around, in_flight, ExclusiveLocks(around.store(), lease()))
    in_flight.add([one, other])
    under_test.dispatch([one, other])
    assert one.batch is not None
    assert around.dispatched == [one.batch.id.binary]
    under_test.give_up([one.fence])
    assert around.cancelled == [one.fence.job_id], "the manager knows nothing of this"
    under_test.give_up([other.fence])
    assert around.cancelled[1:] == [other.fence.job_id, one.batch.id]


def test_those_that_gather_are_dispatched_when_they_have_waited(around: Surroundings) -> None:
    in_flight, (one, cancelled, _) = InFlight(), gatherers(3)
    under_test = dispatcher(around, in_flight, ExclusiveLocks(around.store(), lease()))
    in_flight.add([one, cancelled])
    under_test.dispatch([one, cancelled])
    under_test.give_up([cancelled.fence])
    assert (around.dispatched, under_test.wanted()[0].missing) == ([], 1)
    under_test.looked()
    assert around.dispatched == [one.fence.job_id.binary], "a single one runs by itself"


def test_those_that_gather_when_the_node_stops_are_handed_back(around: Surroundings) -> None:
    in_flight, (one, _) = InFlight(), gatherers(2)
    under_test = dispatcher(around, in_flight, ExclusiveLocks(around.store(), lease()))
    in_flight.add([one])
    under_test.dispatch([one])
    (said,) = under_test.hand_back_kept()
    assert (said.job_id, said.ending) == (one.fence.job_id.binary, Ending.UNSTARTED)


@pytest.mark.parametrize("begun", [True, False])
def test_a_manager_that_dies_leaves_the_jobs_of_a_batch_as_suspects(around: Surroundings, begun: bool) -> None:
    under_test, _, ends, in_flight = quarantining(around)
    jobs = gatherers(2)
    in_flight.add(jobs)
    under_test.dispatch(jobs)
    assert jobs[0].batch is not None
    under_test.release_all("it died", frozenset([jobs[0].batch.key] if begun else []))
    wanted = Ending.SUSPECTED if begun else Ending.RETURNED
    assert [ending for _, ending, _ in ends.submitted] == [wanted] * 2
