"""Which steps an older database needs, which wait for older nodes, and that no change of an index lacks a step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pymongo import IndexModel
from tests.support.tables import table

from taskscheduler.model.migration.schemas import SCHEMA, older_nodes
from taskscheduler.model.migration.steps import PARKED, RETENTION, STEPS, StepState, report
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.indexes.definitions import ON_DEMAND
from taskscheduler.store.migration.steps import PARKED_INDEX
from taskscheduler.store.schema import OLDER_RETENTION, job_indexes

INDEXES = Path(__file__).parents[3] / "support" / "older" / "indexes.json"

FIRST_REMOVAL = 3  #: the number of the first step that older nodes would miss


def node(**fields: Any) -> dict[str, Any]:
    return {"name": "web", "host": "a", "silent": 1.0, "lease": 30.0, **fields}


@table(
    ("fields", "counts"),
    [
        ({}, True),
        ({"drain": True}, True),
        ({"schema": None}, True),
        ({"schema": "3"}, True),
        ({"schema": 2}, False),
        ({"schema": SCHEMA}, False),
        ({"lost": True}, False),
        ({"silent": 31.0}, False),
    ],
)
def test_a_running_node_of_an_older_schema_holds_a_step_up(fields: dict[str, Any], counts: bool) -> None:
    assert older_nodes([node(**fields)], 1) == (["web on a (version 0.1.0)"] if counts else [])


def test_a_node_of_a_later_schema_is_named_by_that() -> None:
    assert older_nodes([node(schema=2), node(name="api", schema=3)], 2) == ["web on a (schema 2)"]


def test_nothing_to_do_is_not_needed_whatever_nodes_run() -> None:
    assert report(FIRST_REMOVAL, "", [node()]).state is StepState.NOT_NEEDED


def test_what_no_older_node_misses_is_needed_at_once() -> None:
    assert report(1, "blocked", [node()]).state is StepState.NEEDED


def test_what_older_nodes_miss_waits_and_names_them() -> None:
    waits = report(FIRST_REMOVAL, "some have none", [node()])
    assert (waits.state, waits.nodes, waits.is_settled) == (StepState.WAITS, ["web on a (version 0.1.0)"], False)
    assert report(FIRST_REMOVAL, "some have none", []).state is StepState.NEEDED


def test_a_removal_waits_with_the_steps_before_it_although_the_older_node_has_just_ended() -> None:
    before = [report(FIRST_REMOVAL, "some have none", [node()])]
    assert report(len(STEPS), "it is there", [], before).nodes == before[0].nodes
    assert report(1, "blocked", [], before).state is StepState.NEEDED


def test_the_index_that_tells_of_the_older_version_goes_last() -> None:
    assert STEPS[-1].name == PARKED
    assert len({step.name for step in STEPS}) == len(STEPS)


# -- the indexes of each schema ---------------------------------------------------------------------------------------


def described(model: IndexModel) -> dict[str, Any]:
    """An index as JSON, without its retention, which people choose."""
    document: dict[str, Any] = json.loads(json.dumps(model.document))
    document.pop("expireAfterSeconds", None)
    return ordered(document)


def ordered(index: dict[str, Any]) -> dict[str, Any]:
    """An index whose keys are a list, so that their order counts."""
    return {**index, "key": list(index["key"].items())}


def todays() -> dict[str, dict[str, Any]]:
    return {model.document["name"]: described(model) for model in job_indexes(SchedulerOptions(), {}, ON_DEMAND)}


def older() -> dict[str, dict[str, dict[str, Any]]]:
    found = json.loads(INDEXES.read_text())
    return {schema: {name: ordered(index) for name, index in indexes.items()} for schema, indexes in found.items()}


def test_the_indexes_of_this_schema_are_written_down() -> None:
    assert todays() == older()[str(SCHEMA)], "raise SCHEMA and add the new indexes to tests/support/older/indexes.json"


@pytest.mark.parametrize("schema", [number for number in older() if number != str(SCHEMA)])
def test_an_index_of_an_older_schema_is_as_it_was_or_a_step_removes_it(schema: str) -> None:
    removed = {OLDER_RETENTION: RETENTION, PARKED_INDEX: PARKED}
    now, then = todays(), older()[schema]
    assert {name for name in then if name not in now} <= removed.keys(), "add a step that removes it"
    assert {removed[name] for name in then if name in removed} <= {step.name for step in STEPS}
    changed = [name for name in then if name in now and now[name] != then[name]]
    assert not changed, "give the changed index a new name: old and new nodes run side by side"
