"""Until when a node may claim and run jobs."""

from __future__ import annotations

import pytest
from tests.unit.node.fakes import FakeClock

from taskscheduler_daemon.node.state.lease import SAFE_PART, Lease


def test_jobs_end_before_another_node_may_rescue_them() -> None:
    """The lease counts from before the heartbeat was sent: the database may have noted it at once."""
    clock = FakeClock()
    lease = Lease(30.0, clock)
    lease.renewed(sent=clock.seconds - 1.0)
    assert lease.safe_until == clock.seconds - 1.0 + 27.0
    clock.seconds += 25.9
    assert lease.is_safe
    clock.seconds += 0.1
    assert not lease.is_safe


def test_a_renewal_makes_it_safe_again() -> None:
    clock = FakeClock()
    lease = Lease(30.0, clock)
    lease.renewed(clock.seconds)
    clock.seconds += 100.0
    assert not lease.is_safe
    lease.renewed(clock.seconds)
    assert lease.is_safe


def test_before_the_first_renewal_there_is_nothing_to_lose() -> None:
    assert Lease(30.0, FakeClock()).is_safe


def test_a_lost_lease_is_not_safe() -> None:
    clock = FakeClock()
    lease = Lease(30.0, clock)
    lease.renewed(clock.seconds)
    lease.lost()
    assert not lease.is_safe


@pytest.mark.parametrize("duration", [1.5, 30.0])
def test_two_heartbeats_may_fail_in_a_lease(duration: float) -> None:
    lease = Lease(duration, FakeClock())
    assert 2 * lease.renewal_interval < SAFE_PART * duration
