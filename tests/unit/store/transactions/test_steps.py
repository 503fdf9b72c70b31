"""Steps are carried out one after the other, blocking or in an event loop, and errors go to the operation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo.errors import AutoReconnect

from taskscheduler.store.transactions.steps import (
    Apart,
    Call,
    ClientCommand,
    Pause,
    SessionCall,
    Steps,
    carry_out,
    carry_out_async,
)


class Answer:
    """Something that can be awaited."""

    def __init__(self, value: Any) -> None:
        self.value = value

    async def come(self) -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


class FakeSession:
    """A session that is its own client, database and collection, and notes its calls."""

    def __init__(self, answers: list[Any], is_async: bool) -> None:
        self.answers, self.is_async = answers, is_async
        self.calls: list[Any] = []
        self.client = self
        self.admin = self

    def __getitem__(self, name: str) -> FakeSession:
        self.calls.append(name)
        return self

    def with_options(self, **_options: Any) -> FakeSession:
        return self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            options.pop("session", None)
            self.calls.append((name, arguments, options))
            answer = self.answers.pop(0)
            if self.is_async:
                return Answer(answer).come()
            if isinstance(answer, Exception):
                raise answer
            return answer

        return called


class Inline:
    """Runs what is to be run in a thread."""

    async def run(self, function: Callable[..., Any], /, *args: Any, **given: Any) -> Any:
        return function(*args, **given)


def run(steps: Steps[Any], answers: list[Any], is_async: bool) -> tuple[Any, list[Any]]:
    session = FakeSession(answers, is_async)
    if is_async:
        return asyncio.run(carry_out_async(cast(Any, session), "app", steps, Inline())), session.calls
    return carry_out(cast(Any, session), "app", steps), session.calls


def operation() -> Steps[list[Any]]:
    found = [(yield Call("jobs", "find_one", ({"_id": 1},), {"sort": [("_id", 1)]}))]
    try:
        yield SessionCall("commit_transaction")
    except AutoReconnect as error:
        found.append(str(error))
    yield Pause(0.0)
    found.append((yield ClientCommand("hello")))
    found.append((yield Apart(lambda: "apart")))
    return found


both = pytest.mark.parametrize("is_async", [False, True])


@both
def test_answers_and_errors_reach_the_operation(is_async: bool) -> None:
    document = RawBSONDocument(bson.encode({"_id": 1, "a": [2]}))
    found, calls = run(operation(), [document, AutoReconnect("cut"), {"ok": 1}], is_async)
    assert found == [{"_id": 1, "a": [2]}, "cut", {"ok": 1}, "apart"]
    assert calls == [
        "app",
        "jobs",
        ("find_one", ({"_id": 1},), {"sort": [("_id", 1)]}),
        ("commit_transaction", (), {}),
        ("command", ("hello",), {}),
    ]


@both
def test_an_error_that_the_operation_does_not_catch_is_raised(is_async: bool) -> None:
    with pytest.raises(AutoReconnect, match="lost"):
        run(operation(), [AutoReconnect("lost")], is_async)
