"""Jobs whose data and results are of types that are stored in another form."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from taskscheduler import Job, Service, job


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Print:
    file: Path
    size: Size
    price: Decimal
    due: date | None = None
    wait: timedelta = timedelta(0)
    tags: set[str] = field(default_factory=set)


class PrintJob(Job):
    name = "values-print"
    data: Print

    def start(self) -> Any:
        return {"received": repr(self.data), "again": self.data}


@job(name="values-prints")
def prints(many: list[Print], first: Path, *, sizes: dict[Size, int]) -> Any:
    return [repr(many), repr(first), repr(sizes), {first}]


@job(name="values-prints-async")
async def prints_async(one: Print, at: set[date]) -> Any:
    return [repr(one), repr(sorted(at)), one.price]


@job(name="values-undeclared")
def undeclared(given):  # type: ignore[no-untyped-def]
    return repr(given)


class PrintService(Service):
    name = "values-service"
    data: Print

    def start(self) -> None:
        self.send({"mine": self.data, "yours": self.receive()})
        self.wait()
