"""Of which cancelled services a node says that their processes are gone."""

from __future__ import annotations

import sys
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.unit.node.fakes import lease

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

    admission = places = services

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
def locks(noted: Noted) -> ExclusiveLocks:
    return ExclusiveLocks(cast(Any, noted), lease())


def attempt(**more: Any) -> Attempt:
    job = {"options": {"force_spawn": True}, **more}
    return Attempt(Fence(ObjectId(), "claim", 3), job, b"", 0.0)


def test_of_one_that_was_cancelled_when_the_manager_has_nothing_left_of_it(locks: ExclusiveLocks, noted: Noted) -> None:
    service = attempt(service={})
    locks.await_exit(service)
    locks.release(service.fence.job_id.binary, 2)
    assert noted.fences == [], "an earlier attempt"
    locks.release(service.fence.job_id.binary, 3)
    locks.release(service.fence.job_id.binary, 3)
    assert noted.fences == [service.fence]


def test_of_one_that_ended_by_itself_just_before_it_was_cancelled(locks: ExclusiveLocks, noted: Noted) -> None:
    service = attempt(service={})
    locks.release_after_end(service)
    locks.release(service.fence.job_id.binary, 3)
    assert noted.fences == [], "nobody has cancelled it"
    locks.already_ended(service.fence.job_id.binary)
    locks.already_ended(service.fence.job_id.binary)
    assert noted.fences == [service.fence]


def test_of_solo_jobs_also_when_the_manager_has_ended(locks: ExclusiveLocks, noted: Noted) -> None:
    one, two = attempt(solo="key"), attempt(solo="key")
    locks.await_exit(one)
    locks.await_exit(two)
    locks.release(one.fence.job_id.binary, 3)
    assert noted.fences == [one.fence]
    locks.release_all()
    assert noted.fences == [one.fence, two.fence]


def test_of_those_that_ended_by_themselves_only_the_newest_are_remembered(locks: ExclusiveLocks, noted: Noted) -> None:
    many = [attempt(solo="key") for _ in range(1001)]
    for one in many:
        locks.release_after_end(one)
    locks.already_ended(many[0].fence.job_id.binary)
    locks.already_ended(many[1].fence.job_id.binary)
    assert noted.fences == [many[1].fence]


def test_of_one_whose_end_was_refused_although_nobody_said_why(locks: ExclusiveLocks, noted: Noted) -> None:
    service, newer = attempt(service={}), attempt(solo="key")
    locks.release_after_end(service)
    locks.release_after_end(newer)
    locks.release_unknown(newer.fence._replace(attempt=2))
    locks.release_unknown(Fence(ObjectId(), "claim", 3))
    assert noted.fences == [], "an earlier attempt, and a job that others may run beside"
    locks.release_unknown(service.fence)
    locks.release_unknown(service.fence)
    assert noted.fences == [service.fence]


def test_again_when_the_database_could_not_be_told(locks: ExclusiveLocks, noted: Noted) -> None:
    one, two = attempt(service={}), attempt(solo="key")
    noted.failures = 3
    for exclusive in (one, two):
        locks.release_after_end(exclusive)
        locks.already_ended(exclusive.fence.job_id.binary)
    locks.extend_all()
    assert noted.fences == []
    locks.extend_all()
    locks.extend_all()
    assert sorted(noted.fences, key=str) == sorted([one.fence, two.fence], key=str)


def test_of_nothing_else(locks: ExclusiveLocks, noted: Noted) -> None:
    job = attempt()
    locks.await_exit(job)
    locks.release(job.fence.job_id.binary, 3)
    locks.already_ended(job.fence.job_id.binary)
    locks.already_ended(ObjectId().binary)
    assert noted.fences == []


def test_until_then_a_solo_job_keeps_its_turn(locks: ExclusiveLocks, noted: Noted) -> None:
    solo = attempt(solo="key")
    for one in (solo, attempt(service={})):
        locks.await_exit(one)
        locks.extend(one)
    locks.extend_all()
    locks.release(solo.fence.job_id.binary, 3)
    locks.extend_all()
    locks.extend(solo)
    assert noted.held == [solo.fence] * 2


def test_without_keeping_the_data_of_the_jobs(locks: ExclusiveLocks) -> None:
    """A thousand of a megabyte each would be a gigabyte."""
    data = bytes(bytearray(1000))
    before = sys.getrefcount(data)
    for end in (locks.release_after_end, locks.await_exit):
        end(Attempt(Fence(ObjectId(), "claim", 1), {"options": {"force_spawn": False}, "solo": "key"}, data, 0.0))
    assert sys.getrefcount(data) == before
