"""Arguments become the data of a job, and the data the same arguments again."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler import InvalidArgumentsError, Job, call, job
from taskscheduler.declarations.signature import Signature


def pair(a: Any, b: Any = "b") -> Any:
    return a, b


def everything(*args: Any, **named: Any) -> Any:
    return args, named


def keyed(a: Any, *, mode: Any = "fit") -> Any:
    return a, mode


def positional(a: Any, /, b: Any = "b") -> Any:
    return a, b


def named_rest(a: Any, **rest: Any) -> Any:
    return a, rest


def knotted(a: Any, /, **rest: Any) -> Any:
    return a, rest


def nothing() -> str:
    return "ran"


def with_job(a: Any, *, job: Any) -> Any:
    return a, job


@table(
    ("function", "args", "named"),
    [
        (pair, (1,), {}),
        (pair, (1, 2), {}),
        (pair, (), {"a": 1}),
        (pair, (1,), {"b": 2}),
        (pair, (None,), {}),
        (pair, ([1, 2],), {}),
        (pair, ({"a": 1},), {}),
        (pair, ({},), {"b": []}),
        (everything, (), {}),
        (everything, (1, 2), {}),
        (everything, (), {"a": 1}),
        (everything, ([],), {}),
        (keyed, (1,), {"mode": "fill"}),
        (positional, (1,), {"b": 2}),
        (named_rest, (1,), {"x": 2, "y": 3}),
        (named_rest, (), {"a": 1, "x": 2}),
        (nothing, (), {}),
    ],
)
def test_a_function_gets_just_what_was_submitted(function: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    declared = Signature("unit", function)
    by_position, by_name = declared.given(declared.data(args, named))
    assert function(*by_position, **by_name) == function(*args, **named)


def test_the_running_job_is_lent_and_not_stored() -> None:
    declared = Signature("unit", with_job)
    assert declared.data((1,), {}) == [1]
    assert declared.data((), {"a": 1}) == {"a": 1}
    with pytest.raises(InvalidArgumentsError, match="the argument job is given by the worker"):
        declared.data((1,), {"job": 2})


@table(
    ("function", "args", "named", "what"),
    [
        (pair, (), {}, "missing a required argument: 'a'"),
        (pair, (1, 2, 3), {}, "too many positional arguments"),
        (pair, (1,), {"c": 2}, "got an unexpected keyword argument 'c'"),
        (pair, (1,), {"a": 2}, "multiple values for argument 'a'"),
        (nothing, (None,), {}, "too many positional arguments"),
    ],
)
def test_what_a_function_does_not_take_is_refused_at_the_call(
    function: Any, args: tuple[Any, ...], named: dict[str, Any], what: str
) -> None:
    with pytest.raises(InvalidArgumentsError, match=f"job unit does not take these arguments: {what}") as caught:
        Signature("unit", function).data(args, named)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("function", "args", "named"),
    [(knotted, (1,), {"a": 2}), (everything, (1,), {"x": 2})],
)
def test_what_cannot_be_stored_in_one_way_is_refused(
    function: Any, args: tuple[Any, ...], named: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgumentsError, match="which cannot be stored; let it take them in one way"):
        Signature("unit", function).data(args, named)


class Mail(Job):
    name = "unit-arguments-mail"


def test_a_class_gets_one_value() -> None:
    assert call(Mail) == (Mail, None)
    assert call(Mail, "text") == (Mail, "text")
    assert call(Mail, {"to": 1}) == (Mail, {"to": 1})
    assert call(Mail, to=1, data=2) == (Mail, {"to": 1, "data": 2})
    for args, named in [((1, 2), {}), ((1,), {"to": 2})]:
        with pytest.raises(InvalidArgumentsError, match="is a class, which takes one value or arguments by name"):
            call(Mail, *args, **named)


def test_a_name_that_is_not_known_here_takes_arguments_in_one_way() -> None:
    assert call("elsewhere") == ("elsewhere", None)
    assert call("elsewhere", 1) == ("elsewhere", [1])
    assert call("elsewhere", a=1) == ("elsewhere", {"a": 1})
    with pytest.raises(InvalidArgumentsError, match="job elsewhere is not known in this process; give all of them"):
        call("elsewhere", 1, a=2)


def test_a_known_name_is_as_good_as_its_function() -> None:
    @job(name="unit-arguments-known")
    def known(a: int, b: int) -> None: ...

    assert call("unit-arguments-known", 1, b=2).data == call(known, 1, b=2).data == {"a": 1, "b": 2}
