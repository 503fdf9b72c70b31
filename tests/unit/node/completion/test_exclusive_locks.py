"""Of which cancelled services a node says that their processes are gone."""

from __future__ import annotations

import sys
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect

from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.state.in_flight import Attempt


class Noted:
    """A store that remembers what it was told."""

    def __init__(self) -> None:
        self.fences: list[Fence] = []
        self.held: list[Fence] = []
        self.failures = 0

    @property
    def services(self) -> Noted:
        return self

    solo_locks = services

    def gone(self, fence: Fence) -> None:
        if self.failures:
            self.failures -= 1
            raise AutoReconnect("cut")
        self.fences.append(fence)

    def extend(self, fence: Fence, lease: float) -> None:
        self.held.append(fence)

    release = gone


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def departures(noted: Noted) -> ExclusiveLocks:
    return ExclusiveLocks(cast(Any, noted), 30)


def attempt(**more: Any) -> Attempt:
    job = {"options": {"force_spawn": True}, **more}
    return Attempt(Fence(ObjectId(), "claim", 3), job, b"", 0.0)


def test_of_one_that_was_cancelled_when_the_manager_has_nothing_left_of_it(
    departures: ExclusiveLocks, noted: Noted
) -> None:
    service = attempt(service={})
    departures.await_exit(service)
    departures.release(service.fence.job_id.binary, 2)
    assert noted.fences == [], "an earlier attempt"
    departures.release(service.fence.job_id.binary, 3)
    departures.release(service.fence.job_id.binary, 3)
    assert noted.fences == [service.fence]


def test_of_one_that_ended_by_itself_just_before_it_was_cancelled(departures: ExclusiveLocks, noted: Noted) -> None:
    service = attempt(service={})
    departures.release_after_end(service)
    departures.release(service.fence.job_id.binary, 3)
    assert noted.fences == [], "nobody has cancelled it"
    departures.already_ended(service.fence.job_id.binary)
    departures.already_ended(service.fence.job_id.binary)
    assert noted.fences == [service.fence]


def test_of_solo_jobs_also_when_the_manager_has_ended(departures: ExclusiveLocks, noted: Noted) -> None:
    one, two = attempt(solo="key"), attempt(solo="key")
    departures.await_exit(one)
    departures.await_exit(two)
    departures.release(one.fence.job_id.binary, 3)
    assert noted.fences == [one.fence]
    departures.release_all()
    assert noted.fences == [one.fence, two.fence]


def test_of_those_that_ended_by_themselves_only_the_newest_are_remembered(
    departures: ExclusiveLocks, noted: Noted
) -> None:
    many = [attempt(solo="key") for _ in range(1001)]
    for one in many:
        departures.release_after_end(one)
    departures.already_ended(many[0].fence.job_id.binary)
    departures.already_ended(many[1].fence.job_id.binary)
    assert noted.fences == [many[1].fence]


def test_of_one_whose_end_was_refused_although_nobody_said_why(departures: ExclusiveLocks, noted: Noted) -> None:
    service, newer = attempt(service={}), attempt(solo="key")
    departures.release_after_end(service)
    departures.release_after_end(newer)
    departures.release_unknown(newer.fence._replace(attempt=2))
    departures.release_unknown(Fence(ObjectId(), "claim", 3))
    assert noted.fences == [], "an earlier attempt, and a job that others may run beside"
    departures.release_unknown(service.fence)
    departures.release_unknown(service.fence)
    assert noted.fences == [service.fence]


def test_again_when_the_database_could_not_be_told(departures: ExclusiveLocks, noted: Noted) -> None:
    one, two = attempt(service={}), attempt(solo="key")
    noted.failures = 3
    for exclusive in (one, two):
        departures.release_after_end(exclusive)
        departures.already_ended(exclusive.fence.job_id.binary)
    departures.extend_all()
    assert noted.fences == []
    departures.extend_all()
    departures.extend_all()
    assert sorted(noted.fences, key=str) == sorted([one.fence, two.fence], key=str)


def test_of_nothing_else(departures: ExclusiveLocks, noted: Noted) -> None:
    job = attempt()
    departures.await_exit(job)
    departures.release(job.fence.job_id.binary, 3)
    departures.already_ended(job.fence.job_id.binary)
    departures.already_ended(ObjectId().binary)
    assert noted.fences == []


def test_until_then_a_solo_job_keeps_its_turn(departures: ExclusiveLocks, noted: Noted) -> None:
    solo = attempt(solo="key")
    departures.await_exit(solo)
    departures.await_exit(attempt(service={}))
    departures.extend_all()
    departures.release(solo.fence.job_id.binary, 3)
    departures.extend_all()
    assert noted.held == [solo.fence] * 2


def test_without_keeping_the_data_of_the_jobs(departures: ExclusiveLocks) -> None:
    """A thousand of a megabyte each would be a gigabyte."""
    data = bytes(bytearray(1000))
    before = sys.getrefcount(data)
    for end in (departures.release_after_end, departures.await_exit):
        end(Attempt(Fence(ObjectId(), "claim", 1), {"options": {"force_spawn": False}, "solo": "key"}, data, 0.0))
    assert sys.getrefcount(data) == before
