"""Windows of `unique_for`: who adds while somebody else does, and what an adder leaves that dies at any step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.unit.operations.fakes import FakeConnection, Heard, SettableClock

from taskscheduler.errors import SchedulerError
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.process_state import AddOutcome
from taskscheduler.operations.add import JobAdder
from taskscheduler.operations.cancel import JobCanceller

UNIQUE = {"unique_for": 60}


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection()


@pytest.fixture
def adder(connection: FakeConnection) -> JobAdder:
    return adder_on(connection)


def adder_on(connection: FakeConnection) -> JobAdder:
    return JobAdder(connection.real, JobCanceller(connection.real, Heard().announcer), connection.clock)


def add(adder: JobAdder, data: Any = 1, **options: Any) -> tuple[ObjectId, AddOutcome]:
    document, outcome = adder.add("mail", data, {**UNIQUE, **options})
    return document["_id"], outcome


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: Any) -> None:
        raise error

    return fail


def test_the_window_ends_when_its_seconds_are_over(adder: JobAdder, connection: FakeConnection) -> None:
    first, outcome = add(adder)
    assert outcome == "created"
    connection.clock.seconds = 59
    assert add(adder) == (first, "existing")
    assert add(adder, 2)[1] == "created"
    connection.clock.seconds = 60
    second, outcome = add(adder)
    assert (second != first, outcome) == (True, "created")
    assert len(connection.wakeups.added) == len(connection.jobs.stored) == 3


def test_the_seconds_are_those_of_the_accepted_job(adder: JobAdder, connection: FakeConnection) -> None:
    first, _ = add(adder)
    connection.clock.seconds = 30
    assert add(adder, unique_for=5) == (first, "existing")


@pytest.mark.parametrize("status", [Status.DONE, Status.FAILED, Status.CANCELED, None])
def test_whatever_became_of_the_accepted_job(
    adder: JobAdder, connection: FakeConnection, status: Status | None
) -> None:
    first, _ = add(adder)
    if status is None:
        del connection.jobs.stored[first]
    else:
        connection.jobs.stored[first]["status"] = int(status)
    document, outcome = adder.add("mail", 1, UNIQUE)
    assert (document["_id"], outcome) == (first, "existing")
    assert document["status"] == (Status.CANCELED if status is None else status), "nobody waits for a deleted job"


def test_what_an_adder_has_opened_that_died_before_it_stored_the_job_is_used_by_the_next_one(
    adder: JobAdder, connection: FakeConnection
) -> None:
    connection.jobs.before_insert.append(raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        add(adder)
    (record,) = connection.windows.records.values()
    connection.clock.seconds = 1000
    document, outcome = adder.add("mail", 1, {**UNIQUE, "interval": 5})
    assert (document["_id"], document["series"], outcome) == (record["job"], record["job"], "created")
    assert add(adder) == (record["job"], "existing")
    assert list(connection.jobs.stored) == [record["job"]]


@pytest.mark.parametrize(("later", "outcome"), [(59, "existing"), (60, "created")])
def test_what_an_adder_has_stored_that_died_before_it_said_so_counts(
    adder: JobAdder, connection: FakeConnection, later: float, outcome: AddOutcome
) -> None:
    connection.windows.settle = raising(KeyboardInterrupt())  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        add(adder)
    del connection.windows.settle
    connection.clock.seconds = later
    assert add(adder, unique_for=1)[1] == outcome
    assert len(connection.jobs.stored) == (1 if outcome == "existing" else 2)


def test_one_who_cannot_say_that_he_has_stored_it_has_added_it_all_the_same(
    adder: JobAdder, connection: FakeConnection
) -> None:
    connection.windows.settle = raising(AutoReconnect())  # type: ignore[method-assign]
    first, outcome = add(adder)
    assert outcome == "created"
    assert add(adder) == (first, "existing")


def test_of_two_that_add_at_the_same_time_one_stores_the_job(adder: JobAdder, connection: FakeConnection) -> None:
    outcomes: list[AddOutcome] = []
    connection.jobs.before_insert.append(lambda: outcomes.append(add(adder)[1]))
    outcomes.append(add(adder)[1])
    assert outcomes == ["created", "existing"]
    assert len(connection.jobs.stored) == 1


def test_a_window_that_others_have_used_and_that_is_over_is_opened_for_another_id(
    adder: JobAdder, connection: FakeConnection
) -> None:
    def others_are_quicker() -> None:
        theirs.append(add(adder, unique_for=5)[0])
        connection.clock.seconds += 5

    theirs: list[ObjectId] = []
    connection.jobs.before_insert.append(others_are_quicker)
    mine, outcome = add(adder, unique_for=5)
    assert (outcome, list(connection.jobs.stored)) == ("created", [*theirs, mine])


def test_a_batch_keeps_its_places(adder: JobAdder, connection: FakeConnection) -> None:
    added = adder.add_many([("mail", 1, UNIQUE), ("mail", 2), ("mail", 1, UNIQUE)])
    assert [outcome for _, outcome in added] == ["created", "created", "existing"]
    assert added[0][0]["_id"] == added[2][0]["_id"]
    assert len(connection.jobs.stored) == 2


def test_an_adder_gives_up_if_no_majority_ever_has_the_job() -> None:
    connection = FakeConnection(SettableClock(step=10))
    adder = adder_on(connection)
    connection.windows.settle = raising(AutoReconnect())  # type: ignore[method-assign]
    add(adder)
    connection.jobs.confirmed = lambda job_id: None  # type: ignore[method-assign]
    with pytest.raises(SchedulerError, match="other programs added and ended job mail with the same key"):
        add(adder)
