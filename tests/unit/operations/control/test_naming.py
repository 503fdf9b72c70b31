"""The controls of a new job, from its options and its class."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.options import JobOptions
from taskscheduler.operations.control.naming import put_under_controls


def controls(of_class: Any = False, **options: Any) -> dict[str, Any]:
    """The controls of a job of the class Mail with these options; `of_class`: its attribute `solo`."""
    document = {"class": "Mail", "queue": "q", "data": {"tenant": 7, "account": "a"}}
    job = {**document}
    put_under_controls(job, JobOptions.of(options), of_class)
    return {name: value for name, value in job.items() if name not in document}


def test_a_job_without_such_options_gets_no_field_more() -> None:
    assert controls() == {}
    assert controls(limits=[]) == {}


@table(
    ("of_class", "options", "key"),
    [
        (True, {}, "Mail"),
        ("shared", {}, "shared"),
        (True, {"solo": "mine"}, "mine"),
        (False, {"solo": True}, "Mail"),
        (True, {"solo": False}, None),
    ],
)
def test_the_option_solo_wins_over_the_class(of_class: Any, options: dict[str, Any], key: str | None) -> None:
    assert controls(of_class, **options) == ({} if key is None else {"solo": key})


def test_names_get_the_values_of_the_job() -> None:
    made = controls(limits=["api", "tenant:{data.tenant}"], sequence="account-{data.account}")
    assert made == {"limits": ["api", "tenant:7"], "sequence": "account-a"}


def test_two_limits_that_become_one_name_are_one() -> None:
    assert controls(limits=["tenant:{data.tenant}", "tenant:7"]) == {"limits": ["tenant:7"]}


@pytest.mark.parametrize("option", ["limits", "sequence"])
def test_a_value_that_the_job_lacks_is_named_with_its_option(option: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"^option {option}: .data.x. in .* must be a text"):
        controls(**{option: "of:{data.x}"})
