"""Of which cancelled services a node says that their processes are gone."""

from __future__ import annotations

import sys
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect

from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.completion.exclusive_locks import Departures
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

    gates = services

    def gone(self, fence: Fence) -> None:
        if self.failures:
            self.failures -= 1
            raise AutoReconnect("cut")
        self.fences.append(fence)

    def hold(self, fence: Fence, lease: float) -> None:
        self.held.append(fence)

    left = gone


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def departures(noted: Noted) -> Departures:
    return Departures(cast(Any, noted), 30)


def attempt(**more: Any) -> Attempt:
    job = {"options": {"force_spawn": True}, **more}
    return Attempt(Fence(ObjectId(), "claim", 3), job, b"", 0.0)


def test_of_one_that_was_cancelled_when_the_manager_has_nothing_left_of_it(
    departures: Departures, noted: Noted
) -> None:
    service = attempt(service={})
    departures.expect(service)
    departures.gone(service.fence.job_id.binary, 2)
    assert noted.fences == [], "an earlier attempt"
    departures.gone(service.fence.job_id.binary, 3)
    departures.gone(service.fence.job_id.binary, 3)
    assert noted.fences == [service.fence]


def test_of_one_that_ended_by_itself_just_before_it_was_cancelled(departures: Departures, noted: Noted) -> None:
    service = attempt(service={})
    departures.ended(service)
    departures.gone(service.fence.job_id.binary, 3)
    assert noted.fences == [], "nobody has cancelled it"
    departures.canceled(service.fence.job_id.binary)
    departures.canceled(service.fence.job_id.binary)
    assert noted.fences == [service.fence]


def test_of_solo_jobs_also_when_the_manager_has_ended(departures: Departures, noted: Noted) -> None:
    one, two = attempt(solo="key"), attempt(solo="key")
    departures.expect(one)
    departures.expect(two)
    departures.gone(one.fence.job_id.binary, 3)
    assert noted.fences == [one.fence]
    departures.all_gone()
    assert noted.fences == [one.fence, two.fence]


def test_of_those_that_ended_by_themselves_only_the_newest_are_remembered(departures: Departures, noted: Noted) -> None:
    many = [attempt(solo="key") for _ in range(1001)]
    for one in many:
        departures.ended(one)
    departures.canceled(many[0].fence.job_id.binary)
    departures.canceled(many[1].fence.job_id.binary)
    assert noted.fences == [many[1].fence]


def test_of_one_whose_end_was_refused_although_nobody_said_why(departures: Departures, noted: Noted) -> None:
    service, newer = attempt(service={}), attempt(solo="key")
    departures.ended(service)
    departures.ended(newer)
    departures.refused(newer.fence._replace(attempt=2))
    departures.refused(Fence(ObjectId(), "claim", 3))
    assert noted.fences == [], "an earlier attempt, and a job that others may run beside"
    departures.refused(service.fence)
    departures.refused(service.fence)
    assert noted.fences == [service.fence]


def test_again_when_the_database_could_not_be_told(departures: Departures, noted: Noted) -> None:
    one, two = attempt(service={}), attempt(solo="key")
    noted.failures = 3
    for exclusive in (one, two):
        departures.ended(exclusive)
        departures.canceled(exclusive.fence.job_id.binary)
    departures.renew()
    assert noted.fences == []
    departures.renew()
    departures.renew()
    assert sorted(noted.fences, key=str) == sorted([one.fence, two.fence], key=str)


def test_of_nothing_else(departures: Departures, noted: Noted) -> None:
    job = attempt()
    departures.expect(job)
    departures.gone(job.fence.job_id.binary, 3)
    departures.canceled(job.fence.job_id.binary)
    departures.canceled(ObjectId().binary)
    assert noted.fences == []


def test_until_then_a_solo_job_keeps_its_turn(departures: Departures, noted: Noted) -> None:
    solo = attempt(solo="key")
    departures.expect(solo)
    departures.expect(attempt(service={}))
    departures.renew()
    departures.gone(solo.fence.job_id.binary, 3)
    departures.renew()
    assert noted.held == [solo.fence] * 2


def test_without_keeping_the_data_of_the_jobs(departures: Departures) -> None:
    """A thousand of a megabyte each would be a gigabyte."""
    data = bytes(bytearray(1000))
    before = sys.getrefcount(data)
    for end in (departures.ended, departures.expect):
        end(Attempt(Fence(ObjectId(), "claim", 1), {"options": {"force_spawn": False}, "solo": "key"}, data, 0.0))
    assert sys.getrefcount(data) == before
