"""Every option: its default, the forms it takes, and what is said about a bad one."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.declarations.typed import JobOptionArguments
from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.options import JOB_CHECKS, SCHEDULER_CHECKS, STORED_OPTIONS, JobOptions, SchedulerOptions
from taskscheduler_daemon.manager.pool.options import POOL_CHECKS, PoolOptions, ProcessManagement
from taskscheduler_daemon.node.options import NODE_CHECKS, NodeOptions, split

JOB_DEFAULTS = {
    "at": 0,
    "interval": 0,
    "interval_reference": "end",
    "retry": 0,
    "retry_interval": 300,
    "backoff": "constant",
    "retry_interval_max": 86_400,
    "jitter": 0,
    "retry_for": 0,
    "start_by": None,
    "timeout": 0,
    "silence_timeout": 0,
    "force_spawn": False,
    "id": None,
    "ignore_data": False,
    "queue": "default",
    "priority": 0,
    "parent": None,
    "dedupe": False,
    "unique_for": 0,
    "unique_key": None,
    "debounce": 0,
    "debounce_max": 0,
    "tags": (),
    "solo": None,
    "limits": (),
    "sequence": None,
    "sequence_on_failure": "skip",
    "group": None,
}

SCHEDULER_DEFAULTS = {
    "job_store": "taskscheduler.jobs",
    "job_queue": "taskscheduler.queue",
    "job_queue_size": 1_000_000,
    "event_queue": "taskscheduler.events",
    "event_queue_size": 5_000_000,
    "default_at": 0,
    "default_interval": 0,
    "default_interval_reference": "end",
    "default_retry": 0,
    "default_retry_interval": 300,
    "default_timeout": 0,
    "progress_rate_limit": 500,
    "orphaned_timeout": 30,
    "max_payload": 1024 * 1024,
    "job_retention": 7 * 24 * 3600,
    "failed_retention": 30 * 24 * 3600,
    "audit_retention": 400 * 24 * 3600,
    "tracing": False,
}

SECONDS = "must be an integer, a float or a timedelta (in seconds)"
AT = "must be an integer or float (unix time), an aware datetime or a timedelta from now"
JOB_SECONDS = (
    *("interval", "retry_interval", "retry_interval_max", "retry_for", "timeout", "silence_timeout"),
    *("unique_for", "debounce", "debounce_max"),
)
SCHEDULER_SECONDS = (
    "default_interval",
    "default_retry_interval",
    "default_timeout",
    "orphaned_timeout",
    "job_retention",
    "failed_retention",
)
SCHEDULER_INTEGERS = ("job_queue_size", "event_queue_size", "default_retry", "progress_rate_limit", "max_payload")


NOON = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))


def job(**given: Any) -> JobOptions:
    return JobOptions.of(given)


def refusal(make: Any, given: dict[str, Any]) -> str:
    with pytest.raises(InvalidOptionError) as caught:
        make(given)
    return str(caught.value)


# -- defaults ---------------------------------------------------------------------------------------------------------


@table(("name", "default"), JOB_DEFAULTS.items())
def test_a_job_option_has_the_default_of_the_contract(name: str, default: Any) -> None:
    assert getattr(JobOptions.of({}), name) == default
    assert type(getattr(JobOptions.of({}), name)) is type(default)


@table(("name", "default"), SCHEDULER_DEFAULTS.items())
def test_a_scheduler_option_has_the_default_of_the_contract(name: str, default: Any) -> None:
    assert getattr(SchedulerOptions.of({}), name) == default


def test_there_are_no_other_options_than_those_of_the_contract() -> None:
    assert set(JOB_CHECKS) == set(JOB_DEFAULTS)
    assert set(SCHEDULER_CHECKS) == set(SCHEDULER_DEFAULTS)
    assert {field.name for field in dataclasses.fields(JobOptions)} == set(JOB_DEFAULTS)
    assert {field.name for field in dataclasses.fields(SchedulerOptions)} == {*SCHEDULER_DEFAULTS, "given"}


@table(("name", "default"), JOB_DEFAULTS.items())
def test_every_default_of_a_job_option_is_accepted_when_it_is_given(name: str, default: Any) -> None:
    assert JobOptions.of({name: default}) == JobOptions()


@table(("name", "default"), SCHEDULER_DEFAULTS.items())
def test_every_default_of_a_scheduler_option_is_accepted_when_it_is_given(name: str, default: Any) -> None:
    assert getattr(SchedulerOptions.of({name: default}), name) == default


def test_options_cannot_be_changed_afterwards() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        JobOptions().retry = 1  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        SchedulerOptions().default_retry = 1  # type: ignore[misc]


# -- unknown names ----------------------------------------------------------------------------------------------------


@table("make", [JobOptions.of, SchedulerOptions.of, PoolOptions.of, NodeOptions.of, split])
@table("name", ["foobar", "", "given"])
def test_an_unknown_option_is_named_in_the_error(make: Any, name: str) -> None:
    assert refusal(make, {name: 1}) == f"invalid option {name} given"


@table(
    ("name", "meant"),
    [("retires", "retry"), ("Retry", "retry"), ("retry_intervall", "retry_interval"), ("timout", "timeout"),
     ("prioritiy", "priority"), ("queu", "queue"), ("tag", "tags"), ("forcespawn", "force_spawn")],
)  # fmt: skip
def test_a_near_miss_is_suggested(name: str, meant: str) -> None:
    assert refusal(JobOptions.of, {name: 1}) == f"invalid option {name} given; did you mean {meant}?"


@table("at", [1, 60, 3600, 0.5, 86_400, 999_999_999])
def test_seconds_are_not_taken_for_a_time_in_1970(at: float) -> None:
    assert refusal(JobOptions.of, {"at": at}).endswith(f"for {at} seconds from now give timedelta(seconds={at})")
    assert "option default_at must be" in refusal(SchedulerOptions.of, {"default_at": at})


def test_an_invalid_option_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="invalid option foobar given"):
        job(foobar=1)


def test_scheduler_options_are_no_job_options_and_the_other_way_round() -> None:
    assert refusal(JobOptions.of, {"default_retry": 1}) == "invalid option default_retry given"
    assert refusal(SchedulerOptions.of, {"retry": 1}) == "invalid option retry given"


# -- integers ---------------------------------------------------------------------------------------------------------


@table("value", [True, False, 1.0, "1", None, math.nan, math.inf, timedelta(1), [1], b"1"])
@table("name", ["retry", "priority"])
def test_an_integer_job_option_takes_nothing_but_integers(name: str, value: Any) -> None:
    assert refusal(JobOptions.of, {name: value}) == f"option {name} must be an integer"


@table("value", [True, 1e6, "4096", None, math.inf])
@table("name", SCHEDULER_INTEGERS)
def test_an_integer_scheduler_option_takes_nothing_but_integers(name: str, value: Any) -> None:
    assert refusal(SchedulerOptions.of, {name: value}) == f"option {name} must be an integer"


@table("value", [-1, 0, 1, 2**31 - 1])
def test_retry_may_be_for_ever_or_any_number_of_times(value: int) -> None:
    assert job(retry=value).retry == value


@table("value", [-2, -(2**40), 2**31, 2**70, 10**400])
def test_retry_beyond_its_limits_is_refused(value: int) -> None:
    assert refusal(JobOptions.of, {"retry": value}).startswith("option retry must be between -1 and 2147483647, not ")


@table("value", [-(2**31), -1, 0, 2**31 - 1])
def test_priority_may_be_negative(value: int) -> None:
    assert job(priority=value).priority == value


@pytest.mark.parametrize("value", [-(2**31) - 1, 2**31])
def test_priority_beyond_32_bits_is_refused(value: int) -> None:
    assert refusal(JobOptions.of, {"priority": value}).startswith("option priority must be between ")


@table(
    ("name", "bad"),
    [
        ("job_queue_size", 4095),
        ("event_queue_size", 0),
        ("event_queue_size", -1),
        ("default_retry", -2),
        ("progress_rate_limit", -1),
        ("max_payload", 1023),
        ("max_payload", 16 * 1024 * 1024),
    ],
)
def test_an_integer_scheduler_option_beyond_its_limits_is_refused(name: str, bad: int) -> None:
    assert refusal(SchedulerOptions.of, {name: bad}).startswith(f"option {name} must be between ")


def test_a_progress_rate_limit_of_zero_means_no_limit_and_is_accepted() -> None:
    assert SchedulerOptions.of({"progress_rate_limit": 0}).progress_rate_limit == 0


# -- booleans ---------------------------------------------------------------------------------------------------------


@table("value", [0, 1, "true", None, 1.0, []])
@table("name", ["ignore_data", "force_spawn"])
def test_a_boolean_option_takes_nothing_but_booleans(name: str, value: Any) -> None:
    assert refusal(JobOptions.of, {name: value}) == f"option {name} must be a boolean"


@pytest.mark.parametrize("name", ["ignore_data", "force_spawn"])
def test_a_boolean_option_takes_both_values(name: str) -> None:
    assert getattr(job(**{name: True}), name) is True
    assert getattr(job(**{name: False}), name) is False


# -- seconds ----------------------------------------------------------------------------------------------------------


@table(
    ("given", "kept"),
    [
        (0, 0),
        (5, 5),
        (5.0, 5),
        (0.25, 0.25),
        (timedelta(minutes=2), 120),
        (timedelta(milliseconds=1500), 1.5),
        (timedelta(0), 0),
        (-0.0, 0),
        (3_162_240_000, 3_162_240_000),
    ],
)
@table("name", JOB_SECONDS)
def test_seconds_may_be_an_integer_a_float_or_a_timedelta(name: str, given: Any, kept: float) -> None:
    value = getattr(job(**{name: given}), name)
    assert value == kept
    assert type(value) is type(kept)


@table("value", [True, False, "5", None, math.nan, math.inf, -math.inf, [5], 5j, datetime.now(UTC)])
@table("name", JOB_SECONDS)
def test_seconds_of_a_job_may_be_nothing_else(name: str, value: Any) -> None:
    assert refusal(JobOptions.of, {name: value}) == f"option {name} {SECONDS}"


@table("value", [True, "5", None, math.nan, math.inf])
@table("name", SCHEDULER_SECONDS)
def test_seconds_of_a_scheduler_may_be_nothing_else(name: str, value: Any) -> None:
    assert refusal(SchedulerOptions.of, {name: value}) == f"option {name} {SECONDS}"


@pytest.mark.parametrize("value", [-1, -1.0, timedelta(seconds=-1)])
def test_minus_one_is_allowed_for_the_interval_only(value: Any) -> None:
    assert job(interval=value).interval == -1
    assert SchedulerOptions.of({"default_interval": value}).default_interval == -1
    for name in ("retry_interval", "timeout"):
        assert refusal(JobOptions.of, {name: value}).startswith(f"option {name} must be between 0 and ")
    for name in ("default_retry_interval", "default_timeout", "job_retention", "failed_retention"):
        assert refusal(SchedulerOptions.of, {name: value}).startswith(f"option {name} must be between 0 and ")


@table("value", [-2, -0.5, -1.0001, timedelta(days=-1), 3_162_240_001, 2**70, 1e300])
def test_an_interval_beyond_its_limits_is_refused(value: Any) -> None:
    assert refusal(JobOptions.of, {"interval": value}).startswith("option interval must be -1, or between 0 and ")


@table("name", ["at", *JOB_SECONDS])
def test_an_integer_too_large_for_a_float_is_refused_like_any_other_bad_value(name: str) -> None:
    assert refusal(JobOptions.of, {name: 10**400}).startswith(f"option {name} must be ")


@table("value", [0, 0.49, timedelta(0), -1])
def test_a_lease_shorter_than_half_a_second_is_refused(value: Any) -> None:
    assert refusal(SchedulerOptions.of, {"orphaned_timeout": value}).startswith("option orphaned_timeout must be ")
    assert SchedulerOptions.of({"orphaned_timeout": 0.5}).orphaned_timeout == 0.5


# -- retries ----------------------------------------------------------------------------------------------------------


@table(
    ("given", "kept"),
    [("constant", "constant"), ("linear", "linear"), ("exponential", "exponential"), ([1, 5.5], (1, 5.5)),
     ((timedelta(minutes=1), 0), (60, 0)), ([86_400], (86_400,))],
)  # fmt: skip
def test_a_back_off_is_one_of_three_kinds_or_a_list_of_seconds(given: Any, kept: Any) -> None:
    assert job(backoff=given).backoff == kept


@table(
    ("value", "said"),
    [
        ("exponentiel", "option backoff must be one of constant, linear, exponential or a list of seconds, "
                        "not 'exponentiel'; did you mean exponential?"),
        (5, "option backoff must be one of constant, linear, exponential or a list of seconds, not 5"),
        (None, "option backoff must be one of"),
        ([], "option backoff must have 1 to 100 pauses, not 0"),
        ([1] * 101, "option backoff must have 1 to 100 pauses, not 101"),
        ([1, "5"], "option backoff must be an integer, a float or a timedelta (in seconds)"),
        ([-1], "option backoff must be between 0 and"),
        ([1, 86_401], "option backoff has a pause of 86401 seconds, more than option retry_interval_max (86400)"),
    ],
)  # fmt: skip
def test_any_other_back_off_is_refused(value: Any, said: str) -> None:
    assert refusal(JobOptions.of, {"backoff": value}).startswith(said)


def test_a_list_of_longer_pauses_needs_a_longer_longest_one() -> None:
    assert job(backoff=[1, 90_000], retry_interval_max=timedelta(days=2)).backoff == (1, 90_000)
    on_a_class = job(backoff=[60])
    with pytest.raises(InvalidOptionError, match="more than option retry_interval_max"):
        JobOptions.of({"retry_interval_max": 30}, on_a_class)


@table("value", [0, 1, 0.25, 1.0])
def test_jitter_is_a_share(value: float) -> None:
    assert job(jitter=value).jitter == value


@table("value", [True, "0.5", None, -0.1, 1.01, 10, math.nan, timedelta(seconds=1)])
def test_any_other_jitter_is_refused(value: Any) -> None:
    assert refusal(JobOptions.of, {"jitter": value}).startswith("option jitter must be a number between 0 and 1")


@table(
    ("given", "kept"),
    [(None, None), (60, 60), (0.5, 0.5), (timedelta(hours=1), 3600),
     (NOON.replace(microsecond=123_999), datetime(2030, 1, 1, 10, microsecond=123_000, tzinfo=UTC))],
)  # fmt: skip
def test_start_by_takes_seconds_or_a_date_of_whole_milliseconds(given: Any, kept: Any) -> None:
    assert job(start_by=given).start_by == kept


@table(
    ("value", "said"),
    [
        (0, "option start_by must be between 0.1 and"),
        (-5, "option start_by must be between 0.1 and"),
        ("tomorrow", "option start_by must be a number of seconds, a timedelta or an aware datetime, not 'tomorrow'"),
        (True, "option start_by must be a number of seconds"),
        (NOON.replace(tzinfo=None), "option start_by must be an aware datetime: give it a time zone"),
        (1_800_000_000, "option start_by counts seconds from adding; give an aware datetime instead of the unix time"),
    ],
)
def test_any_other_start_by_is_refused(value: Any, said: str) -> None:
    assert refusal(JobOptions.of, {"start_by": value}).startswith(said)


def test_a_job_that_runs_again_and_again_cannot_have_to_start_by_a_date() -> None:
    assert job(start_by=60, interval=60).start_by == 60
    said = refusal(JobOptions.of, {"start_by": NOON, "interval": 60})
    assert said.startswith("option start_by must be a number of seconds for a job that runs again and again")


def test_options_that_hold_their_default_are_not_stored() -> None:
    defaults = {"backoff": "constant", "retry_interval_max": 86_400, "jitter": 0, "retry_for": 0, "start_by": None}
    assert set(job(**defaults).stored()) == set(STORED_OPTIONS)
    chosen = {"backoff": [1, 5], "retry_interval_max": 60, "jitter": 0.5, "retry_for": 9, "start_by": 7}
    assert job(**chosen, silence_timeout=3).stored() == {**JobOptions().stored(), **chosen, "silence_timeout": 3}


# -- at ---------------------------------------------------------------------------------------------------------------


@table(
    ("given", "kept"),
    [
        (0, 0),
        (1_900_000_000, 1_900_000_000),
        (1_900_000_000.5, 1_900_000_000.5),
        (1_900_000_000.0, 1_900_000_000),
        (NOON, NOON),
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta(hours=-1), timedelta(hours=-1)),
        (timedelta(0), timedelta(0)),
        (253_402_300_799, 253_402_300_799),
    ],
)
def test_at_may_be_a_unix_time_an_aware_date_or_a_time_from_now(given: Any, kept: Any) -> None:
    assert job(at=given).at == kept
    assert SchedulerOptions.of({"default_at": given}).default_at == kept


def test_a_date_is_kept_in_utc() -> None:
    kept = job(at=NOON).at
    assert isinstance(kept, datetime)
    assert kept.tzinfo is UTC


@table("value", [True, False, "tomorrow", math.nan, math.inf, -math.inf, [1], NOON.date()])
def test_at_may_be_nothing_else(value: Any) -> None:
    assert refusal(JobOptions.of, {"at": value}) == f"option at {AT}"
    assert refusal(SchedulerOptions.of, {"default_at": value}) == f"option default_at {AT}"


def test_a_job_takes_no_none_for_at_but_the_default_does() -> None:
    assert refusal(JobOptions.of, {"at": None}) == f"option at {AT}"
    assert SchedulerOptions.of({"default_at": None}).default_at == 0


def test_a_date_without_a_time_zone_is_refused() -> None:
    said = refusal(JobOptions.of, {"at": datetime(2030, 1, 1)})  # noqa: DTZ001 the point of the test
    assert said == "option at must be an aware datetime: give it a time zone"


@table("value", [-1, -0.5, 253_402_300_800, 1e300])
def test_a_unix_time_that_no_date_can_hold_is_refused(value: float) -> None:
    assert refusal(JobOptions.of, {"at": value}).startswith("option at must be a unix time between 0 and the year 9999")


@pytest.mark.parametrize(
    "value",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    ],
)
def test_a_date_that_does_not_exist_in_utc_is_refused(value: datetime) -> None:
    assert refusal(JobOptions.of, {"at": value}).startswith("option at must be ")


# -- names and ids ----------------------------------------------------------------------------------------------------


def test_the_interval_counts_from_the_start_or_the_end() -> None:
    assert job(interval_reference="start").interval_reference == "start"
    assert job(interval_reference="end").interval_reference == "end"


@table("value", ["", "START", "middle", 1, None, True, ["end"]])
def test_the_interval_counts_from_nothing_else(value: Any) -> None:
    text = 'must be "start" or "end"'
    assert refusal(JobOptions.of, {"interval_reference": value}) == f"option interval_reference {text}"
    said = refusal(SchedulerOptions.of, {"default_interval_reference": value})
    assert said == f"option default_interval_reference {text}"


@pytest.mark.parametrize("name", ["id", "parent"])
def test_an_id_is_an_object_id(name: str) -> None:
    chosen = ObjectId()
    assert getattr(job(**{name: chosen}), name) == chosen
    for text in (str(chosen), str(chosen).upper()):
        assert getattr(job(**{name: text}), name) == chosen
    for bad in (str(chosen)[:-1], f"{chosen}0", f" {chosen}", "x" * 24, "x" * 12, chosen.binary, 1, 0, "", False):
        assert refusal(JobOptions.of, {name: bad}) == f"option {name} must be an ObjectId or its 24 hexadecimal digits"


@table("value", ["default", "a", "mail-2", "_x", "9", "q" * 120])
def test_a_queue_has_a_plain_name(value: str) -> None:
    assert job(queue=value).queue == value


@table("value", ["", "Mail", "a b", "a.b", "a\n", "ä", "$x", 1, None, b"mail", ["mail"]])
def test_a_queue_has_no_other_name(value: Any) -> None:
    said = refusal(JobOptions.of, {"queue": value})
    assert said.startswith("option queue must be a name of lowercase letters, digits, dashes and underscores, not ")


def test_the_name_of_a_queue_is_short() -> None:
    assert refusal(JobOptions.of, {"queue": "q" * 121}) == "option queue must have 120 characters at most, not 121"


@table("name", ["job_store", "job_queue", "event_queue"])
@table("value", ["", "$jobs", "a$b", "a\0b", ".jobs", "system.jobs", 1, None, b"x"])
def test_a_name_that_no_collection_can_have_is_refused(name: str, value: Any) -> None:
    said = refusal(SchedulerOptions.of, {name: value})
    assert said == f"option {name} must be the name of a collection, not {value!r}"


@pytest.mark.parametrize("value", ["jobs.", "a..b"])
def test_a_name_that_the_driver_refuses_is_refused(value: str) -> None:
    said = refusal(SchedulerOptions.of, {"job_store": value})
    assert said == f"option job_store must be the name of a collection, not {value!r}"


@table("value", ["jobs", "a.b.c", "tasks-1", "Ä"])
def test_a_collection_may_be_called_as_mongodb_allows(value: str) -> None:
    assert SchedulerOptions.of({"job_store": value}).job_store == value


# -- how options combine ----------------------------------------------------------------------------------------------


def test_given_options_go_over_the_defaults_of_the_scheduler() -> None:
    scheduler = SchedulerOptions.of({"default_retry": 2, "default_timeout": 9, "default_interval": -1})
    options = JobOptions.of({"retry": 5}, scheduler.job_defaults())
    assert (options.retry, options.timeout, options.interval, options.retry_interval) == (5, 9, -1, 300)


def test_every_default_option_reaches_the_job() -> None:
    chosen: dict[str, Any] = {
        "at": 1_900_000_000,
        "interval": 7,
        "interval_reference": "start",
        "retry": 3,
        "retry_interval": 11,
        "timeout": 13,
    }
    options = SchedulerOptions.of({f"default_{name}": value for name, value in chosen.items()}).job_defaults()
    assert {name: getattr(options, name) for name in chosen} == chosen


def test_scheduler_options_are_set_on_top_of_the_earlier_ones() -> None:
    first = SchedulerOptions.of({"default_retry": 2, "job_store": "mine"})
    second = SchedulerOptions.of({"default_retry": 4}, first)
    assert (second.default_retry, second.job_store) == (4, "mine")
    assert second.given == {"default_retry", "job_store"}
    assert first.default_retry == 2


def test_the_stored_options_are_plain_values() -> None:
    stored = job(timeout=timedelta(seconds=2), at=timedelta(1), queue="mail").stored()
    assert tuple(stored) == STORED_OPTIONS
    assert stored["timeout"] == 2
    assert all(isinstance(value, int | float | str | bool) for value in stored.values())


# -- the pool and the node --------------------------------------------------------------------------------------------


def test_the_pool_is_dynamic_with_one_to_two_workers_by_default() -> None:
    assert PoolOptions.of({}) == PoolOptions(pm=ProcessManagement.DYNAMIC, min_children=1, max_children=2)


@pytest.mark.parametrize("value", ["dynamic", "static", "ondemand"])
def test_the_process_management_is_given_by_name(value: str) -> None:
    assert PoolOptions.of({"pm": value}).pm is ProcessManagement(value)


@table("value", ["x", "", "DYNAMIC", None, 1, True])
def test_an_unknown_process_management_is_refused(value: Any) -> None:
    said = refusal(PoolOptions.of, {"pm": value})
    assert said == f"{value} is not a valid process handling type (static, dynamic, ondemand)"


def test_more_children_at_least_than_at_most_are_refused() -> None:
    text = "option min_children must not be greater than option max_children"
    assert refusal(PoolOptions.of, {"min_children": 3}) == text
    assert refusal(PoolOptions.of, {"min_children": 5, "max_children": 4}) == text
    assert PoolOptions.of({"min_children": 4, "max_children": 4}).min_children == 4


def test_a_static_pool_does_not_look_at_max_children() -> None:
    assert PoolOptions.of({"pm": "static", "min_children": 5}).slots == 5


def test_a_static_pool_says_that_it_has_no_largest_number(caplog: pytest.LogCaptureFixture) -> None:
    PoolOptions.of({"pm": "static", "min_children": 2, "max_children": 2})
    PoolOptions.of({"pm": "dynamic", "max_children": 4})
    assert not caplog.messages
    PoolOptions.of({"pm": "static", "max_children": 4})
    assert caplog.messages == ["max_children has no effect with pm static: there are min_children=1"]


@table(
    ("given", "slots"),
    [
        ({}, 2),
        ({"max_children": 7}, 7),
        ({"pm": "static", "min_children": 3}, 3),
        ({"pm": "static", "min_children": 0}, 0),
        ({"pm": "ondemand", "max_children": 4}, 4),
    ],
)
def test_the_slots_are_what_can_run_at_once(given: dict[str, Any], slots: int) -> None:
    assert PoolOptions.of(given).slots == slots


@table("value", [True, 1.0, "2", None, math.nan])
@table("name", ["min_children", "max_children"])
def test_numbers_of_children_are_integers(name: str, value: Any) -> None:
    assert refusal(PoolOptions.of, {name: value}) == f"option {name} must be an integer"


@pytest.mark.parametrize(("name", "value"), [("min_children", -1), ("max_children", 0), ("max_children", 10_001)])
def test_numbers_of_children_have_limits(name: str, value: int) -> None:
    assert refusal(PoolOptions.of, {name: value}).startswith(f"option {name} must be between ")


def test_node_options_have_the_defaults_of_the_contract() -> None:
    options = NodeOptions.of({})
    assert (options.queues, options.jobs, options.orphaned_timeout) == ((), (), None)
    assert (options.stop_timeout, options.max_jobs, options.max_lost) == (10, 0, 3)
    assert options.name


def test_node_options_are_checked() -> None:
    assert refusal(NodeOptions.of, {"queues": "mail"}) == "option queues must be a list of names, not 'mail'"
    assert refusal(NodeOptions.of, {"queues": ["Mail"]}).startswith("option queues must be a name of lowercase")
    assert refusal(NodeOptions.of, {"jobs": ["a-b"]}) == "option jobs must name modules like myapp.jobs, not 'a-b'"
    assert refusal(NodeOptions.of, {"max_jobs": True}) == "option max_jobs must be an integer"
    assert refusal(NodeOptions.of, {"max_lost": 0}).startswith("option max_lost must be between 1 and ")
    assert refusal(NodeOptions.of, {"stop_timeout": -1}).startswith("option stop_timeout must be between 0 and ")
    assert refusal(NodeOptions.of, {"orphaned_timeout": 0}).startswith("option orphaned_timeout must be ")
    for name in ("", "a\nb", "n" * 121, 1):
        assert refusal(NodeOptions.of, {"name": name}).startswith("option name must be a printable name")
        assert refusal(NodeOptions.of, {"version": name}).startswith("option version must be a printable version")


LIMITS = ("max_memory", "max_cpu", "max_files", "max_processes")


def test_nothing_is_limited_by_default_or_by_zero() -> None:
    for options in (NodeOptions.of({}), NodeOptions.of(dict.fromkeys(LIMITS, 0))):
        assert [getattr(options, name) for name in LIMITS] == [0, 0, 0, 0]


@table(("name", "least"), [("max_memory", 64 * 1024**2), ("max_cpu", 0.1), ("max_files", 16), ("max_processes", 1)])
def test_a_limit_is_no_smaller_than_a_worker_can_live_with(name: str, least: float) -> None:
    assert getattr(NodeOptions.of({name: least}), name) == least
    for value in (-1, *([least * 0.9] if name == "max_cpu" else [least - 1] if least > 1 else [])):
        assert refusal(NodeOptions.of, {name: value}).startswith(f"option {name} must be between ")


@table("name", LIMITS)
@table("value", [True, False, "1G", None, math.nan, [1]])
def test_a_limit_is_a_number(name: str, value: Any) -> None:
    assert refusal(NodeOptions.of, {name: value}).startswith(f"option {name} must be an integer")


def test_cpu_time_may_be_a_timedelta_and_memory_no_fraction() -> None:
    assert NodeOptions.of({"max_cpu": timedelta(minutes=1)}).max_cpu == 60
    assert refusal(NodeOptions.of, {"max_memory": 1e9}) == "option max_memory must be an integer"


def test_split_gives_every_option_to_its_owner() -> None:
    node, pool = split({"name": "n", "queues": ["a", "b"], "pm": "static", "min_children": 2, "max_jobs": 5})
    assert (node.name, node.queues, node.max_jobs) == ("n", ("a", "b"), 5)
    assert (pool.pm, pool.min_children) == (ProcessManagement.STATIC, 2)
    assert not set(NODE_CHECKS) & set(POOL_CHECKS)


# -- tags -------------------------------------------------------------------------------------------------------------


@table(
    ("given", "kept"),
    [
        (["b", "a"], ("b", "a")),
        (("a", "b", "a"), ("a", "b")),
        ({"b", "a"}, ("a", "b")),
        (["x" * 100, "Ünïcode 🎉", " "], ("x" * 100, "Ünïcode 🎉", " ")),
        ([str(number) for number in range(50)] * 2, tuple(str(number) for number in range(50))),
        ([], ()),
    ],
)
def test_tags_are_kept_once_each(given: Any, kept: tuple[str, ...]) -> None:
    assert job(tags=given).tags == kept


@table(
    ("given", "what"),
    [
        ("mail", "option tags must be a list of texts, not one: give ['mail']"),
        (5, "option tags must be a list of texts, not int"),
        ({"a": 1}, "option tags must be a list of texts, not dict"),
        (None, "option tags must be a list of texts, not NoneType"),
        (["a", 5], "option tags must be a list of texts of 1 to 100 characters; 5 is none"),
        ([""], "option tags must be a list of texts of 1 to 100 characters; '' is none"),
        (["\ud800"], "option tags must be a list of texts of 1 to 100 characters; '\\ud800' is none"),
        ([str(number) for number in range(51)], "option tags must have 50 texts at most, not 51"),
        ([[]], "option tags must be a list of texts of 1 to 100 characters; [] is none"),
    ],
)
def test_bad_tags_are_refused(given: Any, what: str) -> None:
    assert refusal(JobOptions.of, {"tags": given}) == what


def test_a_tag_is_not_too_long() -> None:
    assert "of 1 to 100 characters" in refusal(JobOptions.of, {"tags": ["x" * 101]})


def test_type_checkers_know_each_option() -> None:
    assert JobOptionArguments.__annotations__.keys() == JOB_CHECKS.keys()
