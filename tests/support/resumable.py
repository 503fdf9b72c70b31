"""Jobs with steps, sleeps and signals; each step leaves a trace."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from datetime import UTC, datetime
from typing import Any

from taskscheduler import Job, SignalTimeoutError
from tests.support.jobs import trace


class Order(Job):
    """An order: reserve, charge, wait for approval, ship. The data: `trace`, and what goes wrong where."""

    name = "order"

    def start(self) -> Any:
        number = self.step("reserve", self.done, "reserve", result={"number": 7, "at": datetime.now(UTC)})["number"]
        charged = self.step("charge", self.done, "charge", result=("EUR", 12))
        if "sleep" in self.data:
            self.sleep(self.data["sleep"])
        approval = self.approval() if self.data.get("waits") else None
        shipped = self.step("ship", self.done, "ship", result=number + 1)
        return {"charged": charged, "approval": approval, "shipped": shipped}

    def approval(self) -> Any:
        try:
            return self.wait_for("approved", timeout=self.data.get("timeout"))
        except SignalTimeoutError:
            return "timed out"

    def done(self, name: str, result: Any) -> Any:
        """Trace the step; what the data say befalls it there, in the first attempt."""
        trace(self.data["trace"], self.id, name, self.attempt, os.getpid())
        if self.data.get("stops_in") == name:
            time.sleep(20 if self.attempt == 1 else 0)  # it is killed
        if self.data.get("fails_in") == name and self.attempt == 1:
            raise OSError(name)
        return result


class KilledAfter(Order):
    """The same order, and the worker is killed when it has got the result of a step, in its first attempts."""

    name = "killed_after"

    def step(self, name: str, function: Any, /, *args: Any, **named: Any) -> Any:
        result = super().step(name, function, *args, **named)
        killed = self.data["killed_after"]
        if name in killed and self.attempt == killed.index(name) + 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


class AsyncOrder(Job):
    """The same as coroutines."""

    name = "async_order"

    async def start(self) -> Any:
        charging = self.step("charge", self.done_at_once, "charge", ("EUR", 12))
        if "stops_in" in self.data:
            reserved, charged = await self.step("reserve", self.done, "reserve", 7), await charging
        else:
            reserved, charged = await asyncio.gather(self.step("reserve", self.done, "reserve", 7), charging)
        if "sleep" in self.data:
            await self.sleep(self.data["sleep"])
        approval = await self.approval() if self.data.get("waits") else None
        shipped = await self.step("ship", self.done, "ship", reserved + 1)
        return {"charged": charged, "approval": approval, "shipped": shipped}

    async def approval(self) -> Any:
        try:
            return await self.wait_for("approved", timeout=self.data.get("timeout"))
        except SignalTimeoutError:
            return "timed out"

    async def done(self, name: str, result: Any) -> Any:
        await asyncio.sleep(0)
        return self.done_at_once(name, result)

    def done_at_once(self, name: str, result: Any) -> Any:
        trace(self.data["trace"], self.id, name, self.attempt, os.getpid())
        if self.data.get("stops_in") == name and self.attempt == 1:
            time.sleep(20)  # it is killed
        if self.data.get("fails_in") == name and self.attempt == 1:
            raise OSError(name)
        return result
