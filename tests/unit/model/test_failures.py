"""The place and the fingerprint of a failure: one for each mistake, whatever its message says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from taskscheduler.model.exception_texts import JobInterrupted
from taskscheduler.model.failures import Place, fingerprint_at, fingerprint_of, is_fingerprint, place_of

MODULE = "shop.mail"

SOURCE = """
import json
def start(n):
    if n == 0:
        raise ValueError("one")
    if n == 1:
        raise ValueError("another")
    if n == 2:
        return {}["x"]
    json.loads("{" * n)
def deeper(n):
    start(n)
"""


def module(name: str = MODULE, above: str = "", file: str = "/a/mail.py", source: str = SOURCE) -> dict[str, Any]:
    """The names of a module with this source."""
    names: dict[str, Any] = {"__name__": name}
    exec(compile(above + source, file, "exec"), names)  # noqa: S102
    return names


def raised(function: Callable[..., Any], *given: Any) -> BaseException:
    try:
        function(*given)
    except BaseException as error:
        return error
    raise AssertionError


def fingerprint(error: BaseException, job: str = "Mail") -> str:
    place = place_of(error, MODULE)
    assert place is not None
    return fingerprint_at(place, job, type(error).__name__)


def test_the_place_is_the_innermost_line_of_the_module() -> None:
    names = module()
    assert place_of(raised(names["start"], 0), MODULE) == Place("mail.py", 5, "start", 2)
    assert str(place_of(raised(names["deeper"], 1), MODULE)) == "mail.py:7 in start"
    assert str(place_of(raised(names["start"], 3), MODULE)) == "mail.py:10 in start"  # raised in the library


def test_without_a_line_of_the_module_it_is_one_of_its_package() -> None:
    base = module("shop.base", file="/a/base.py")
    assert str(place_of(raised(base["start"], 0), MODULE)) == "base.py:5 in start"
    assert place_of(raised(module("shopping.base")["start"], 0), MODULE) is None
    assert place_of(raised(base["start"], 0), "") is None
    assert place_of(ValueError("never raised"), MODULE) is None


def test_two_messages_of_one_mistake_have_one_fingerprint() -> None:
    start = module()["start"]
    assert fingerprint(raised(start, 3)) == fingerprint(raised(start, 4))
    assert str(raised(start, 0)) != str(raised(start, 1))


def test_another_line_or_type_or_class_is_another_mistake() -> None:
    start = module()["start"]
    found = {fingerprint(raised(start, n)) for n in range(4)} | {fingerprint(raised(start, 0), "Letter")}
    found.add(fingerprint_of({"type": "ValueError"}, "Mail"))
    assert len(found) == 6


def test_code_above_the_function_and_the_folder_of_the_file_do_not_matter() -> None:
    before = raised(module()["start"], 0)
    after = raised(module(above="x = 1\n" * 9, file="/releases/7/mail.py")["start"], 0)
    assert str(place_of(after, MODULE)) == "mail.py:14 in start"
    assert fingerprint(before) == fingerprint(after)


def test_a_failure_without_a_place_is_known_by_class_and_type() -> None:
    timeout = {"type": "JobTimeoutError", "message": "ran longer than 5 s"}
    assert fingerprint_of(timeout, "Mail") == fingerprint_of({**timeout, "message": "ran longer than 6 s"}, "Mail")
    assert fingerprint_of(timeout, "Mail") != fingerprint_of(timeout, "Letter")
    assert fingerprint_of(None, "Mail") != fingerprint_of(timeout, "Mail")


def test_fingerprints_are_known_as_such() -> None:
    assert is_fingerprint(fingerprint(raised(module()["start"], 0)))
    assert is_fingerprint(fingerprint_of(None, ""))
    assert not any(map(is_fingerprint, (None, 7, "", "0" * 11, "g" * 12, "A" * 12)))


def test_the_code_of_an_exception_cannot_make_it_fail() -> None:
    def trace(_: Any) -> Any:
        raise SystemExit

    odd = type("Odd", (Exception,), {"__traceback__": property(trace)})("x")
    assert place_of(odd, MODULE) is None
    names = module(source="def f():\n    raise ValueError\n")
    names["__name__"] = 5
    assert place_of(raised(names["f"]), MODULE) is None


def test_an_interruption_is_not_swallowed() -> None:
    def trace(_: Any) -> Any:
        raise JobInterrupted

    with pytest.raises(JobInterrupted):
        place_of(type("Odd", (Exception,), {"__traceback__": property(trace)})("x"), MODULE)
