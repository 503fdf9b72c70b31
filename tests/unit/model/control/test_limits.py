"""What may be set as a limit, which limit a name is under, and the names that jobs give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.control.controls import Controls
from taskscheduler.model.control.limits import (
    Limit,
    default_burst,
    filled,
    limit_for,
    limit_name,
    limits_option,
    new_limit,
    read_limit,
    stored_limit,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def made(**given: Any) -> Limit:
    values = {"name": "api", "concurrency": None, "rate": None, "per": None, "burst": None, **given}
    return new_limit(**values)


@table(
    ("given", "limit"),
    [
        ({"concurrency": 5}, Limit("api", 5)),
        ({"concurrency": 0}, Limit("api", 0)),
        ({"name": "tenant:*", "concurrency": 1}, Limit("tenant:*", 1)),
        ({"name": "*", "concurrency": 1}, Limit("*", 1)),
        ({"rate": 2}, Limit("api", None, 2, 1, 1)),
        ({"rate": 100, "per": 60, "burst": 20}, Limit("api", None, 100, 60, 20)),
        ({"rate": 0.5, "per": timedelta(minutes=1), "concurrency": 3}, Limit("api", 3, 0.5, 60, 1)),
        ({"rate": 1000}, Limit("api", None, 1000, 1, 51)),
    ],
)
def test_a_limit_has_a_concurrency_a_rate_or_both(given: dict[str, Any], limit: Limit) -> None:
    assert made(**given) == limit


@table(
    ("given", "problem"),
    [
        ({}, "give concurrency, rate or both"),
        ({"concurrency": -1}, "option concurrency"),
        ({"concurrency": 10_001}, "option concurrency"),
        ({"concurrency": True}, "option concurrency"),
        ({"concurrency": 1.5}, "option concurrency"),
        ({"rate": 0}, "option rate must be a number of starts above 0"),
        ({"rate": -1}, "option rate"),
        ({"rate": "5"}, "option rate"),
        ({"rate": True}, "option rate"),
        ({"rate": float("nan")}, "option rate"),
        ({"rate": float("inf")}, "option rate"),
        ({"rate": 1, "per": 0}, "option per"),
        ({"rate": 1, "per": "60"}, "option per"),
        ({"rate": 1, "burst": 0}, "option burst"),
        ({"concurrency": 1, "per": 60}, "option per belongs to a rate: give rate, too"),
        ({"concurrency": 1, "burst": 5}, "option burst belongs to a rate: give rate, too"),
        ({"name": "", "concurrency": 1}, "option name"),
        ({"name": "a" * 201, "concurrency": 1}, "option name"),
        ({"name": "a\n", "concurrency": 1}, "option name"),
        ({"name": "a\0b", "concurrency": 1}, "option name"),
        ({"name": 5, "concurrency": 1}, "option name"),
        ({"name": "a*b", "concurrency": 1}, "only at the end"),
        ({"name": "a**", "concurrency": 1}, "only at the end"),
    ],
)
def test_any_other_is_refused_with_what_is_wrong(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        made(**given)
    assert problem in str(caught.value)


@table(
    ("limit", "seconds"),
    [
        (Limit("a", rate=100), 0.0),
        (Limit("a", rate=100, burst=2), 0.005),
        (Limit("a", rate=100, burst=6), 0.025),
        (Limit("a", rate=100, burst=100), 0.05),
        (Limit("a", rate=1, per=60, burst=2), 0.05),
        (Limit("a", concurrency=3), 0.0),
    ],
)
def test_free_starts_are_left_for_a_moment_only_if_none_is_lost_by_that(limit: Limit, seconds: float) -> None:
    assert limit.slack == pytest.approx(seconds)


@table(("rate", "per", "burst"), [(1, 1, 1), (20, 1, 2), (100, 1, 6), (100, 60, 1), (1_000_000, 0.001, 1_000_000)])
def test_without_a_burst_as_many_may_start_at_once_as_nodes_look_at_together(
    rate: float, per: float, burst: int
) -> None:
    assert default_burst(rate, per) == burst


@pytest.mark.parametrize(("rate", "per"), [(1_000_000, 1), (1_000_000, 0.001), (1e-6, 3600)])
def test_every_rate_that_is_allowed_needs_no_burst(rate: float, per: float) -> None:
    assert made(rate=rate, per=per).burst >= 1


def test_the_time_between_two_starts_is_told_in_milliseconds() -> None:
    assert made(rate=100, per=60).milliseconds == 600
    assert made(concurrency=1).milliseconds == 0


# -- storing ----------------------------------------------------------------------------------------------------------


@table("limit", [Limit("api", 5), Limit("a:*", 0), Limit("api", None, 0.5, 60, 20), Limit("api", 3, 10, 1, 1)])
def test_a_stored_limit_is_read_as_it_was(limit: Limit) -> None:
    document = {"_id": limit.key, **stored_limit(limit), "by": "ada@here", "at": NOW}
    assert read_limit(document) == Limit(
        limit.name, limit.concurrency, limit.rate, limit.per, limit.burst, "ada@here", NOW
    )


@table(
    "odd",
    [
        {"_id": "limit:b"},
        {"_id": 5},
        {"name": 5},
        {"name": "a*b", "_id": "limit:a*b"},
        {"concurrency": "5"},
        {"concurrency": None},
        {"concurrency": 2**40},
        {"rate": "fast"},
        {"rate": 1, "per": -1},
        {"rate": 1, "burst": []},
    ],
)
def test_one_that_cannot_be_used_is_none(odd: dict[str, Any]) -> None:
    assert read_limit({"_id": "limit:api", "name": "api", "concurrency": 5, **odd}) is None
    assert Controls.of([{"_id": "limit:api", "name": "api", "concurrency": 5, **odd}]).limits == ()


def test_who_set_it_and_when_need_not_make_sense() -> None:
    document = {"_id": "limit:api", "name": "api", "concurrency": 5, "by": 5, "at": "noon"}
    assert read_limit(document) == Limit("api", 5)


# -- names ------------------------------------------------------------------------------------------------------------


@table(
    ("name", "found"),
    [
        ("api", "api"),
        ("apis", "api*"),
        ("tenant:8", "tenant:*"),
        ("tenant:7", "tenant:7*"),
        ("tenant:70", "tenant:7*"),
        ("tenant:", "tenant:*"),
        ("other", "*"),
        ("a", "*"),
    ],
)
def test_the_longest_name_that_covers_a_name_is_its_limit(name: str, found: str) -> None:
    names = ["*", "api", "api*", "tenant:*", "tenant:7*"]
    limits = [Limit(one, 1) for one in names]
    for ordered in (limits, limits[::-1]):
        limit = limit_for(ordered, name)
        assert limit is not None
        assert limit.name == found
    assert limit_for(limits[1:], "other") is None


def test_the_exact_name_wins_over_a_star_of_the_same_length() -> None:
    limits = [Limit("ab*", 1), Limit("abc", 2)]
    assert limit_for(limits, "abc") == Limit("abc", 2)


@pytest.mark.parametrize("value", ["a*", "*", "a*b"])
def test_a_job_names_no_star(value: str) -> None:
    with pytest.raises(InvalidOptionError, match=r"only in limits\.set"):
        limit_name("limits", value)


@table(
    ("given", "names"),
    [
        ("api", ("api",)),
        (["a", "b", "a"], ("a", "b")),
        (("tenant:{data.tenant}", "{class}-{queue}"), ("tenant:{data.tenant}", "{class}-{queue}")),
        ([], ()),
    ],
)
def test_the_option_takes_a_name_or_several(given: Any, names: tuple[str, ...]) -> None:
    assert limits_option("limits", given) == names


@table(
    ("given", "problem"),
    [
        (5, "must be a name or a list of names, not int"),
        (None, "must be a name or a list of names"),
        ({"a"}, "must be a name or a list of names, not set"),
        ([str(number) for number in range(11)], "must have 10 names at most, not 11"),
        ([5], "must be a text"),
        ([["a"]], "must be a text"),
        ("", "must be a text"),
        ("{status}", "{status} in '{status}' is not known"),
        ("{datax}", "is not known"),
        ("{}", "is not known"),
        ("{data.a", "a brace is missing"),
        ("data.a}", "a brace is missing"),
        ("{{data.a}}", "a brace is missing"),
    ],
)
def test_any_other_value_is_refused_with_its_option(given: Any, problem: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        limits_option("limits", given)
    assert str(caught.value).startswith("option limits")
    assert problem in str(caught.value)


ID = ObjectId("64b000000000000000000001")

JOB = {"class": "Mail", "queue": "q", "data": {"tenant": 7, "id": ID, "a": {"b": "x"}}}


@table(
    ("name", "made"),
    [
        ("api", "api"),
        ("tenant:{data.tenant}", "tenant:7"),
        ("{class}/{queue}/{data.a.b}", "Mail/q/x"),
        ("{data.id}", str(ID)),
    ],
)
def test_braces_are_filled_with_values_of_the_job(name: str, made: str) -> None:
    assert filled("limits", name, JOB) == made


@table(
    ("data", "found"),
    [
        ({}, "nothing"),
        ({"x": None}, "nothing"),
        ({"x": True}, "a bool"),
        ({"x": 1.5}, "a float"),
        ({"x": ["a"]}, "a list"),
        ({"x": ""}, "a str"),
        ("text", "nothing"),
        (None, "nothing"),
    ],
)
def test_a_value_that_cannot_be_part_of_a_name_is_refused(data: Any, found: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        filled("limits", "tenant:{data.x}", {**JOB, "data": data})
    assert "{data.x} in 'tenant:{data.x}' must be a text, an integer or an id in this job" in str(caught.value)
    assert str(caught.value).endswith(f"not {found}")


@pytest.mark.parametrize("value", ["a\nb", "x" * 300, "\0"])
def test_a_value_makes_no_name_that_nobody_could_have_given(value: str) -> None:
    with pytest.raises(InvalidOptionError, match="option limits must be a text of 1 to 200 printable characters"):
        filled("limits", "tenant:{data.x}", {**JOB, "data": {"x": value}})


def test_a_value_stands_for_no_other_names() -> None:
    assert filled("limits", "tenant:{data.x}", {**JOB, "data": {"x": "*"}}) == "tenant:_"
    assert filled("limits", "tenant:{data.x}", {**JOB, "data": {"x": "{data.tenant}"}}) == "tenant:{data.tenant}"
