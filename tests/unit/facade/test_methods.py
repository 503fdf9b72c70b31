"""Each method is defined once and served in both forms."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest
from bson import ObjectId
from tests.support.tables import table

import taskscheduler.facade
from taskscheduler import AsyncScheduler, Scheduler
from taskscheduler.facade.core import Core
from taskscheduler.facade.methods import AsyncMethods, Methods, coroutine
from taskscheduler.facade.operations import Operations
from taskscheduler.model.process_state import ProcessState
from taskscheduler.process import Process

P = TypeVar("P", bound=ProcessState)


class Adopted(ProcessState):
    """Stands for the process of an event loop."""


class Queues(Methods):
    """A group of methods, as they will be added."""

    def pause(self, name: str, wait: bool = True) -> bool:
        """Keeps nodes from starting jobs of a queue."""
        return self._core is not None and wait and bool(name)

    def first(self, /, **given: Any) -> Process:
        """Returns a job that was given these fields."""
        return Process(cast(Any, None), {"_id": ObjectId(), "status": 0, "fields": given}, "existing")

    def all(self) -> list[Process]:
        """Returns two jobs."""
        return [self.first(number=number) for number in range(2)]

    def names(self) -> list[str]:
        """Returns what holds no jobs."""
        return ["mail"]

    def fail(self) -> None:
        """Raises an error."""
        raise LookupError("no such queue")


class AsyncQueues(AsyncMethods[Queues, P]):
    pause = coroutine(Queues.pause)
    first = coroutine(Queues.first)
    all = coroutine(Queues.all)
    names = coroutine(Queues.names)
    fail = coroutine(Queues.fail)


class Inline:
    """Notes what it runs, and runs it at once."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def run(self, function: Callable[..., Any], /, *args: Any, **given: Any) -> Any:
        self.ran.append(function.__name__)
        return function(*args, **given)


class Adopter:
    def adopt(self, process: Process) -> Adopted:
        return Adopted(process.to_dict(), process.outcome)


@pytest.fixture
def threads() -> Inline:
    return Inline()


@pytest.fixture
def queues(threads: Inline) -> AsyncQueues[Adopted]:
    return AsyncQueues(Queues(cast(Core, SimpleNamespace())), threads, Adopter())


# -- one method as a coroutine ----------------------------------------------------------------------------------------


def test_a_coroutine_runs_the_blocking_method_in_a_thread(queues: AsyncQueues[Adopted], threads: Inline) -> None:
    assert asyncio.run(queues.pause("mail")) is True
    assert asyncio.run(queues.pause("mail", wait=False)) is False
    assert threads.ran == ["pause", "pause"]


def test_processes_become_those_of_the_event_loop_with_their_outcome(queues: AsyncQueues[Adopted]) -> None:
    one, many = asyncio.run(queues.first(a=1)), asyncio.run(queues.all())
    assert isinstance(one, Adopted)
    assert (one.fields, one.outcome) == ({"a": 1}, "existing")
    assert [(type(process), process.fields) for process in many] == [(Adopted, {"number": 0}), (Adopted, {"number": 1})]


def test_anything_else_is_returned_as_it_is(queues: AsyncQueues[Adopted]) -> None:
    assert asyncio.run(queues.names()) == ["mail"]


def test_any_keyword_may_be_given_where_the_method_takes_any(queues: AsyncQueues[Adopted]) -> None:
    assert asyncio.run(queues.first(self=1, method=2)).fields == {"self": 1, "method": 2}


def test_an_error_of_the_method_is_raised_in_the_coroutine(queues: AsyncQueues[Adopted]) -> None:
    with pytest.raises(LookupError, match="no such queue"):
        asyncio.run(queues.fail())


def test_a_coroutine_has_the_name_the_parameters_and_the_docstring_of_the_method() -> None:
    assert inspect.iscoroutinefunction(AsyncQueues.pause)
    assert AsyncQueues.pause.__name__ == "pause"
    assert AsyncQueues.pause.__doc__ == "Keeps nodes from starting jobs of a queue."
    assert inspect.signature(AsyncQueues.pause) == inspect.signature(Queues.pause)


# -- both schedulers --------------------------------------------------------------------------------------------------


def public(cls: type) -> dict[str, Any]:
    return {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_")}


def groups() -> list[tuple[type[Any], type[Any]]]:
    """Each blocking group that has an asynchronous class of its own, with that class."""
    _import_all()
    pairs = []
    for twin in _subclasses(AsyncMethods):
        base = next(base for base in twin.__orig_bases__ if getattr(base, "__origin__", None) is AsyncMethods)
        if twin.__module__.startswith("taskscheduler."):
            pairs.append((base.__args__[0], twin))
    return pairs


def _import_all() -> None:
    for path in Path(taskscheduler.facade.__path__[0]).glob("*.py"):
        __import__(f"taskscheduler.facade.{path.stem}".removesuffix(".__init__"))


def _subclasses(cls: type[Any]) -> list[type[Any]]:
    children: list[type[Any]] = cls.__subclasses__()
    return [heir for child in children for heir in (child, *_subclasses(child))]


#: waits without a thread, or is served in another way: `async for` and `await` stand for a callback and a future
ELSEWHERE = {"future", "core"}


def test_the_scheduler_has_all_operations_and_so_has_its_twin() -> None:
    assert issubclass(Scheduler, Operations)
    assert (Operations, AsyncScheduler) in groups()


@table(("blocking", "twin"), groups())
def test_a_group_has_the_same_methods_and_parameters_in_both_forms(blocking: type, twin: type) -> None:
    here, there = public(blocking), public(twin)
    assert here.keys() - ELSEWHERE <= there.keys()
    for name in here.keys() - ELSEWHERE:
        kinds = [
            [(one.name, one.kind, one.default) for one in inspect.signature(form[name]).parameters.values()]
            for form in (here, there)
        ]
        assert kinds[0] == kinds[1], name


@pytest.mark.parametrize("cls", [Scheduler, AsyncScheduler, Operations])
def test_every_public_method_is_documented_wherever_it_is_defined(cls: type) -> None:
    functions = {name: method for name, method in public(cls).items() if inspect.isfunction(method)}
    assert len(functions) > 20
    assert [name for name, method in functions.items() if not inspect.getdoc(method)] == []


def test_each_public_method_of_the_operations_belongs_to_one_group() -> None:
    homes: dict[str, list[str]] = {}
    for group in Operations.__bases__:
        for name in vars(group):
            if not name.startswith("_"):
                homes.setdefault(name, []).append(group.__name__)
        assert len([name for name in vars(group) if not name.startswith("_")]) <= 15
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def test_both_schedulers_take_the_same_arguments() -> None:
    assert inspect.signature(Scheduler.__init__) == inspect.signature(AsyncScheduler.__init__)


def test_the_twin_works_on_the_connection_and_options_of_the_scheduler() -> None:
    scheduler = Scheduler("mongodb://host/app", default_retry=1)
    twin = AsyncScheduler.of(scheduler)
    assert twin.options is scheduler.options
    scheduler.set_options(default_retry=2)
    assert twin.options.default_retry == 2
    twin.set_options(default_retry=3)
    assert scheduler.options.default_retry == 3
