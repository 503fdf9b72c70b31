"""No value whatsoever gets past the checks of the options and then does harm."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import bson
import pytest
from bson import ObjectId
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.document import new_document
from taskscheduler.model.options import JOB_CHECKS, SCHEDULER_CHECKS, JobOptions, SchedulerOptions
from taskscheduler.model.payload import CODEC
from taskscheduler.model.process_state import stored_options
from taskscheduler_daemon.manager.pool.options import POOL_CHECKS
from taskscheduler_daemon.node.options import NODE_CHECKS, split

NOW = datetime(2030, 1, 1, tzinfo=UTC)
MORE = settings(max_examples=150, deadline=None)

numbers = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-5, 100_000)
)
zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
garbage = st.one_of(
    st.none(),
    numbers,
    st.text(max_size=8),
    st.binary(max_size=4),
    st.timedeltas(),
    st.datetimes(timezones=st.none() | zones),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.builds(ObjectId),
    st.sampled_from(["start", "end", "dynamic", "static", "ondemand", "default", "x.y", ["a", "b"]]),
)


@MORE
@example({"at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))})
@example({"interval": -1, "retry": -1})
@given(st.dictionaries(st.sampled_from(sorted(JOB_CHECKS)), garbage, max_size=3))
def test_job_options_are_refused_or_can_be_stored_and_read_back(given_options: dict[str, Any]) -> None:
    try:
        options = JobOptions.of(given_options)
    except InvalidOptionError:
        return
    assert JobOptions.of({name: getattr(options, name) for name in JOB_CHECKS}) == options
    for name in ("interval", "retry_interval", "timeout"):
        value = getattr(options, name)
        assert not isinstance(value, bool)
        assert math.isfinite(value)
        assert value >= 0 or (name == "interval" and value == -1)
    document = new_document("mail", None, options, NOW)
    back = bson.decode(bson.encode(document, codec_options=CODEC), codec_options=CODEC)
    stored = stored_options(back)
    assert {name: stored[name] for name in options.stored()} == options.stored()
    assert (stored["queue"], stored["priority"]) == (options.queue, options.priority)


@MORE
@given(st.dictionaries(st.sampled_from(sorted(SCHEDULER_CHECKS)), garbage, max_size=3))
def test_scheduler_options_are_refused_or_make_job_options(given_options: dict[str, Any]) -> None:
    try:
        options = SchedulerOptions.of(given_options)
    except InvalidOptionError:
        return
    assert options.given == set(given_options)
    defaults = options.job_defaults()
    assert JobOptions.of({name: getattr(defaults, name) for name in JOB_CHECKS}) == defaults
    again = {name: getattr(options, name) for name in given_options}
    assert SchedulerOptions.of(again) == options


@MORE
@given(st.dictionaries(st.sampled_from(sorted({*NODE_CHECKS, *POOL_CHECKS})), garbage, max_size=3))
def test_node_options_are_refused_or_make_a_sound_pool(given_options: dict[str, Any]) -> None:
    try:
        node, pool = split(given_options)
    except InvalidOptionError:
        return
    assert node.name
    assert 0 <= pool.min_children <= 10_000
    assert 1 <= pool.max_children <= 10_000
    assert pool.pm.value != "dynamic" or pool.min_children <= pool.max_children


@MORE
@given(st.text(), garbage)
def test_an_unknown_name_is_never_accepted(name: str, value: Any) -> None:
    for make, known in ((JobOptions.of, JOB_CHECKS), (SchedulerOptions.of, SCHEDULER_CHECKS)):
        if name in known:
            continue
        with pytest.raises(InvalidOptionError) as caught:
            make({name: value})
        text, _, suggested = str(caught.value).partition("; did you mean ")
        assert text == f"invalid option {name} given"
        assert not suggested or suggested.removesuffix("?") != name
