"""Texts of exceptions whose own code fails in every way."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import bson
import pytest
from tests.support.tables import table

from taskscheduler.errors import JobFailure
from taskscheduler.model.attempt_result import AttemptResult, describe, encode, storable
from taskscheduler.model.exception_texts import JobInterrupted, loggable, try_to_log
from taskscheduler.model.lifecycle import Ending


class OddText(str):
    """A text that behaves unlike one."""

    def __getitem__(self, _: Any) -> str:
        raise ZeroDivisionError

    def encode(self, *_: Any, **__: Any) -> bytes:
        raise ZeroDivisionError


def odd(name: str, **methods: Any) -> BaseException:
    """An exception of a class with these methods."""
    made: type[Exception] = type(name, (Exception,), methods)
    return made("the real reason")


def raising(error: BaseException) -> Callable[..., Any]:
    def method(*_: Any) -> Any:
        raise error

    return method


class NamelessType(type):
    """Classes that do not say what they are called."""

    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise SystemExit


class NamelessError(Exception, metaclass=NamelessType):
    """Its type has no name."""


class SourcelessLoader:
    """A loader of modules that has no source, and says so by an unexpected exception."""

    def get_source(self, name: str) -> str:
        raise RuntimeError("no source")


def from_odd_loader() -> BaseException:
    names: dict[str, Any] = {"__name__": "odd", "__loader__": SourcelessLoader()}
    exec(compile("def f():\n    raise ValueError('the real reason')", "/nowhere/odd.py", "exec"), names)  # noqa: S102
    try:
        names["f"]()
    except ValueError as error:
        return error
    raise AssertionError


def with_odd_cause() -> BaseException:
    error = ValueError("the real reason")
    error.__cause__ = SyntaxError("cause", ("file", 3, "5", "text"))  # type: ignore[arg-type]
    return error


ODD = {
    "text raises": odd("A", __str__=raising(ValueError("no text"))),
    "text exits": odd("A", __str__=raising(SystemExit(3))),
    "text is interrupted": odd("A", __str__=raising(KeyboardInterrupt())),
    "text is none": odd("A", __str__=lambda _: 5),
    "text is odd": odd("A", __str__=lambda _: OddText("odd")),
    "text cannot be encoded": odd("A", __str__=lambda _: "\ud800"),
    "repr raises": odd("A", __repr__=raising(SystemExit())),
    "class raises": odd("A", __class__=property(raising(ZeroDivisionError()))),
    "notes raise": odd("A", __notes__=property(raising(ZeroDivisionError()))),
    "module cannot be encoded": odd("A", __module__="\ud800"),
    "module is none": odd("A", __module__=None),
    "name is long": odd("A" * 10_000),
    "type has no name": NamelessError("x"),
    "syntax error with a text as offset": SyntaxError("the real reason", ("file", 3, "5", "text")),  # type: ignore[arg-type]
    "source cannot be read": from_odd_loader(),
    "cause cannot be formatted": with_odd_cause(),
    "group of such": ExceptionGroup("g", [SyntaxError("m", ("file", 3, "5", "text"))]),  # type: ignore[arg-type]
}


@pytest.fixture(params=ODD)
def error(request: pytest.FixtureRequest) -> BaseException:
    return ODD[request.param]


def test_every_exception_can_be_stored(error: BaseException) -> None:
    stored = describe(error)
    assert bson.decode(bson.encode(stored)) == stored
    assert set(stored) == {"type", "message", "traceback"}
    assert all(type(text) is str and text for text in stored.values())


@pytest.mark.parametrize("name", ["syntax error with a text as offset", "source cannot be read"])
def test_the_reason_is_stored_though_the_traceback_cannot_be_formatted(name: str) -> None:
    stored = describe(ODD[name])
    assert "the real reason" in stored["message"]
    assert stored["type"] in ("SyntaxError", "ValueError")
    assert "the real reason" in stored["traceback"]


def test_the_places_are_stored_though_the_source_cannot_be_read() -> None:
    assert '  File "/nowhere/odd.py", line 2, in f\n' in describe(ODD["source cannot be read"])["traceback"]


def test_a_failure_without_a_traceback_has_none_though_its_text_cannot_be_made() -> None:
    failure: type[JobFailure] = type("A", (JobFailure,), {"__str__": raising(SystemExit())})
    assert set(describe(failure("x"))) == {"type", "message"}


def test_every_exception_can_be_logged(error: BaseException) -> None:
    stream = io.StringIO()
    logger = logging.Logger("odd")
    logger.addHandler(logging.StreamHandler(stream))
    try:
        raise error
    except BaseException as caught:
        logger.error("it failed", exc_info=loggable(caught))
    assert stream.getvalue().startswith("it failed\n")
    assert len(stream.getvalue().splitlines()) > 1


def test_an_ordinary_exception_is_logged_as_it_is() -> None:
    error = ValueError("x")
    assert loggable(error) is error


def test_an_interruption_is_not_swallowed_while_a_text_is_made() -> None:
    with pytest.raises(JobInterrupted):
        describe(odd("A", __str__=raising(JobInterrupted())))


class OddResult(Mapping[str, Any]):
    """A result that raises when it is encoded."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __iter__(self) -> Iterator[str]:
        raise self._error

    def __len__(self) -> int:
        return 1

    def __getitem__(self, key: str) -> Any:
        raise self._error


@table("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), ODD["text exits"]])
def test_a_result_that_raises_when_it_is_encoded_fails_the_attempt(error: BaseException) -> None:
    ending, content = storable("name", [OddResult(error)], 1000)
    assert (ending, content["error"]["type"]) == (Ending.FAILED, "InvalidDataError")


def test_a_result_that_handlers_have_spoilt_fails_the_attempt() -> None:
    ending, body = encode(AttemptResult(Ending.SUCCEEDED, {"result": {"a": object()}, "said": {"progress": 5.0}}))
    content = bson.decode(body)
    assert (ending, content["said"]) == (Ending.FAILED, {"progress": 5.0})
    assert content["error"]["message"].startswith("the result of the job cannot be stored: ")
    assert "result" not in content


@pytest.mark.parametrize("error", [ValueError("closed file"), OSError(), KeyError(), SystemExit(3)], ids=repr)
def test_a_log_that_cannot_be_written_harms_nobody(error: BaseException) -> None:
    try_to_log(raising(error), "a line")


def test_a_line_goes_to_the_log_as_it_is() -> None:
    written = list[Any]()
    try_to_log(lambda *values, **options: written.append((values, options)), "a %s", "line", extra={"a": 1})
    assert written == [(("a %s", "line"), {"extra": {"a": 1}})]
    with pytest.raises(JobInterrupted):
        try_to_log(raising(JobInterrupted()), "a line")
