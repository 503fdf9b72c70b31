"""The figures that daemon/docs/explanation/scale.md quotes are those that the programs give today."""

from __future__ import annotations

import re

import pytest

from taskscheduler import Scheduler
from tests.scale import cost, simulate
from tests.support.nodes import ROOT

PAGE = (ROOT / "daemon/docs/explanation/scale.md").read_text()
NEAR = 0.12  #: bytes depend on the length of the name of the database; entries do not


@pytest.mark.scale
def test_the_page_quotes_the_simulation_as_it_is() -> None:
    assert "\n".join(simulate.report()) in PAGE


@pytest.mark.parametrize("count", [1, cost.BATCH])
def test_the_page_quotes_what_a_job_costs(scheduler: Scheduler, count: int) -> None:
    for line in cost.job(scheduler, count):
        label = line[:13]
        quoted = next((other for other in PAGE.splitlines() if other.startswith(label)), "")
        assert _numbers(line) == pytest.approx(_numbers(quoted), rel=NEAR), (line, quoted)


def _numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", line)]
