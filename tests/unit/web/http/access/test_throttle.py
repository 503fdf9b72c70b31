"""Who guesses passwords waits longer and longer, and cannot lock others out for long."""

from __future__ import annotations

from taskscheduler.clock import SystemClock
from taskscheduler_daemon.web.http.access import throttle
from taskscheduler_daemon.web.http.access.throttle import FORGOTTEN, LoginThrottle


class SetClock(SystemClock):
    time = 0.0

    def monotonic(self) -> float:
        return self.time


def test_pauses_double_for_a_name_and_an_address() -> None:
    clock = SetClock()
    tries = LoginThrottle(clock)
    assert [tries.wait("ana", "10.0.0.1") for _ in range(3)] == [0, 0, 0]
    assert tries.wait("ana", "10.0.0.1") == 1
    assert tries.wait("ana", "10.0.0.2") == 0
    clock.time = 1
    assert [tries.wait("ana", "10.0.0.1"), tries.wait("ana", "10.0.0.1")] == [0, 2]
    clock.time += FORGOTTEN + 1
    assert tries.wait("ana", "10.0.0.1") == 0


def test_an_address_that_tries_many_names_waits_and_so_does_a_network_of_version_6() -> None:
    for addresses in (["10.0.0.1"], ["2001:db8::1", "2001:db8::2"], ["::ffff:10.0.0.1", "10.0.0.1"]):
        tries = LoginThrottle(SetClock())
        waits = [tries.wait(f"name{number}", addresses[number % len(addresses)]) for number in range(11)]
        assert waits == [0] * 10 + [1], addresses


def test_a_name_that_many_addresses_try_waits_little() -> None:
    clock = SetClock()
    tries = LoginThrottle(clock)
    for number in range(200):
        tries.wait("ana", f"10.0.{number}.1")
        clock.time += 11
    clock.time -= 11
    assert 0 < tries.wait("ana", "10.9.9.9") <= 10


def test_who_gets_in_is_forgotten() -> None:
    tries = LoginThrottle(SetClock())
    for _ in range(3):
        tries.wait("ana", "10.0.0.1")
    tries.succeeded("ana", "10.0.0.1")
    assert tries.wait("ana", "10.0.0.1") == 0


def test_what_is_remembered_is_bounded() -> None:
    tries = LoginThrottle(SetClock())
    for number in range(throttle._MOST):
        tries.wait(f"name{number}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(tries._tries) == throttle._MOST
