"""What each role may do, and what the names of actions stand for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.support.tables import table

import taskscheduler.facade
from taskscheduler import InvalidOptionError
from taskscheduler.model.audit.actions import ACTIONS, Role, matching, may


@table(
    ("action", "least"),
    [
        ("job.cancel", Role.OPERATOR),
        ("jobs.retry", Role.OPERATOR),
        ("pause", Role.OPERATOR),
        ("service.stop", Role.OPERATOR),
        ("job.add", Role.ADMIN),
        ("job.delete", Role.ADMIN),
        ("job.rewrite", Role.ADMIN),
        ("jobs.flush", Role.ADMIN),
        ("limit.set", Role.ADMIN),
        ("schedule.add", Role.ADMIN),
        ("service.start", Role.ADMIN),
    ],
)
def test_the_least_role_for_an_action(action: str, least: Role) -> None:
    assert [role for role in Role if may(role, action)] == [role for role in Role if role >= least]


def test_a_viewer_may_do_nothing_and_nobody_what_is_unknown() -> None:
    assert not any(may(Role.VIEWER, action) for action in ACTIONS)
    assert not any(may(role, "job.eat") for role in Role)


def test_every_action_of_a_method_is_known_and_every_known_one_has_a_method() -> None:
    used = set()
    for path in Path(taskscheduler.facade.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("action", "many"):
                used.add(ast.literal_eval(node.args[0]))
    assert used | {"job.rewrite", "jobs.rewrite"} == set(ACTIONS)


@table(
    ("name", "found"),
    [
        ("job.cancel", {"job.cancel"}),
        ("cancel", {"job.cancel", "jobs.cancel", "flow.cancel"}),
        ("limit", {"limit.set", "limit.delete"}),
        ("pause", {"pause", "schedule.pause"}),
        ("login", {"login"}),
    ],
)
def test_a_filter_names_an_action_a_kind_or_a_verb(name: str, found: set[str]) -> None:
    assert set(matching(name)) == found


def test_wrong_names_are_refused_with_the_nearest_one() -> None:
    with pytest.raises(InvalidOptionError, match="did you mean cancel"):
        matching("cancle")
    with pytest.raises(
        InvalidOptionError, match="option role must be one of viewer, operator, admin, not 'amdin'; did"
    ):
        Role.of("role", "amdin")
