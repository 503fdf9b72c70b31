"""What a process spends, told apart for what it does one after the other."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest

from taskscheduler_daemon.system import usage
from taskscheduler_daemon.system.usage import Metered, UsageMeter

MIB = 1024 * 1024
CHILD = "import time\nwhile time.process_time() < 0.1: pass"


def burn(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


@pytest.fixture
def meter() -> UsageMeter:
    usage._reset_peak()
    return UsageMeter()


def test_each_lap_has_its_own_cpu_time(meter: UsageMeter) -> None:
    burn(0.05)
    first, second = meter.lap().cpu, meter.lap().cpu
    assert first is not None
    assert second is not None
    assert first >= 0.05 > second


def test_the_cpu_time_of_programs_that_were_waited_for_counts(meter: UsageMeter) -> None:
    subprocess.run([sys.executable, "-S", "-c", CHILD], check=True)
    assert (meter.lap().cpu or 0) >= 0.1


def test_a_look_in_between_ends_no_lap(meter: UsageMeter) -> None:
    burn(0.05)
    large = b"x" * (64 * MIB)
    looks = [meter.so_far(), meter.so_far()]
    del large
    lap = meter.lap()
    assert 0.05 <= (looks[0].cpu or 0) <= (looks[1].cpu or 0) <= (lap.cpu or 0)
    assert (looks[0].peak_memory or 0) <= (lap.peak_memory or 0)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux alone")
def test_the_peak_is_that_of_the_lap_and_not_of_an_earlier_one(meter: UsageMeter) -> None:
    before = meter.lap().peak_memory or 0
    large = b"x" * (64 * MIB)
    at_most = meter.lap().peak_memory or 0
    del large
    meter.begin()
    after = meter.lap().peak_memory or 0
    assert at_most >= before + 60 * MIB
    assert after < before + 20 * MIB


def test_without_a_reset_only_a_new_peak_is_known(meter: UsageMeter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_reset_peak", lambda: False)
    large = b"x" * (64 * MIB)
    assert meter.lap().peak_memory is not None
    del large
    meter.begin()
    assert meter.lap().peak_memory is None
    larger = b"x" * (96 * MIB)
    assert meter.lap().peak_memory is not None
    del larger


def test_a_coroutine_is_charged_with_its_own_steps() -> None:
    async def busy(seconds: float) -> float:
        await asyncio.sleep(0)
        burn(seconds)
        await asyncio.sleep(0)
        return seconds

    async def both() -> tuple[Metered[float], Metered[float], list[float]]:
        one, two = Metered(busy(0.05)), Metered(busy(0.0))

        async def awaited(metered: Metered[float]) -> float:
            result: float = await metered
            return result

        return one, two, list(await asyncio.gather(awaited(one), awaited(two)))

    one, two, results = asyncio.run(both())
    assert results == [0.05, 0.0]
    assert one.cpu > 0.04 > two.cpu


def test_a_coroutine_that_is_cancelled_or_raises_does_so_through_its_meter() -> None:
    async def waits() -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "cancelled"
        return "slept"

    async def cancelled() -> str:
        metered = Metered(waits())

        async def awaited() -> str:
            result: str = await metered
            return result

        task = asyncio.create_task(awaited())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(cancelled()) == "cancelled"
