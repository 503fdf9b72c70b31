"""pytest: the fixtures `scheduler`, `inline_node` and `clock` for tests of jobs.

pytest loads this plugin by its entry point, in every run. So it imports nothing of MongoDB before a fixture is used.
`-p no:taskscheduler` leaves it out, and a fixture of the same name in a `conftest.py` takes the place of one of these.

>>> def test_a_mail_is_sent(inline_node):
...     process = send_mail.add("a@b.c")
...     inline_node.run_until_idle()
...     assert process.result() == "sent"
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from taskscheduler import Scheduler
    from taskscheduler.testing import FreshDatabases, InlineNode

_OPTION, _INI, _VARIABLE = "--taskscheduler-uri", "taskscheduler_uri", "TASKSCHEDULER_TEST_URI"


class FakeClock:
    """The time of a test, as schedules, retries, sleeps, limits and pauses see it."""

    def __init__(self, node: InlineNode) -> None:
        self._node = node
        self.passed = timedelta()  #: since the test began, beside the time that it took

    def advance(self, seconds: float | timedelta) -> None:
        """Lets so many seconds pass; runs nothing. InvalidOptionError if they are negative."""
        self._node.advance(seconds)
        self.passed += seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option and the setting that name a server of one's own."""
    text = "MongoDB server on which the fixture scheduler makes databases, instead of the embedded server"
    parser.getgroup("taskscheduler").addoption(_OPTION, metavar="URI", help=f"{text} (environment: {_VARIABLE})")
    parser.addini(_INI, text)


@pytest.fixture(scope="session")
def taskscheduler_databases(pytestconfig: pytest.Config) -> Iterator[FreshDatabases]:
    """The server for all tests of this run: of the option, the environment or the setting, else the embedded one."""
    uri = pytestconfig.getoption(_OPTION) or os.environ.get(_VARIABLE) or pytestconfig.getini(_INI) or None
    errors = importlib.import_module("taskscheduler.errors")
    with ExitStack() as stack:
        try:
            databases = stack.enter_context(importlib.import_module("taskscheduler.testing").FreshDatabases(uri))
        except errors.EmbeddedServerError as error:
            pytest.fail(f"{error}; or name a server with pytest {_OPTION}=mongodb://host", pytrace=False)
        except errors.InvalidOptionError as error:
            pytest.fail(f"{_OPTION}, {_VARIABLE} or {_INI}: {error}", pytrace=False)
        yield databases


@pytest.fixture
def scheduler_options() -> Mapping[str, Any]:
    """The options of the fixture `scheduler`: none. A fixture of this name in a `conftest.py` gives others."""
    return {}


@pytest.fixture
def scheduler(taskscheduler_databases: FreshDatabases, scheduler_options: Mapping[str, Any]) -> Iterator[Scheduler]:
    """A Scheduler on an empty database of its own, which is deleted after the test."""
    with taskscheduler_databases.scheduler(**scheduler_options) as scheduler:
        yield scheduler


@pytest.fixture
def inline_node(scheduler: Scheduler) -> Iterator[InlineNode]:
    """An InlineNode on the fixture `scheduler`, which is the default scheduler of the process during the test."""
    default = importlib.import_module("taskscheduler.jobs.default")
    with default.as_default(scheduler), importlib.import_module("taskscheduler.testing").InlineNode(scheduler) as node:
        yield node


@pytest.fixture
def clock(inline_node: InlineNode) -> FakeClock:
    """The clock of the fixture `inline_node`: `advance(seconds)` lets time pass."""
    return FakeClock(inline_node)
