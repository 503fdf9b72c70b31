"""The options of a service, and the rules by which it is started again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import LONGEST, Check, checked, seconds
from taskscheduler.model.lifecycle import Ending, Transition, Verdict
from taskscheduler.model.options import JOB_CHECKS
from taskscheduler.model.sound import is_number


class RestartPolicy(StrEnum):
    """The ends after which a service is started again."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Restart:
    """The options and counts of a service that decide whether and when it is started again."""

    policy: RestartPolicy = RestartPolicy.ALWAYS
    interval: float = 1  #: seconds before it is started again
    longest: float = 60  #: the longest pause; a run of this length does not count as a quick failure
    failures: int = 0  #: quick failures in a row before this run
    ran: float = 0  #: seconds that this run took


_FINAL_TRANSITION = {
    Ending.SUCCEEDED: Transition.SUCCEED,
    Ending.FAILED: Transition.FAIL,
    Ending.TIMED_OUT: Transition.EXPIRE,
    Ending.LOST: Transition.FAIL,
    Ending.SUSPECTED: Transition.FAIL,
    Ending.RETURNED: Transition.FAIL,
    Ending.SNOOZED: Transition.FAIL,  # which its class refuses, but a job may report what it likes
}


def verdict_of_service(ending: Ending, service: Restart) -> Verdict:
    """Returns the transition of a service by its restart policy; the pause doubles with each quick failure in a row.

    With the policy NEVER it runs at most once, so it fails if its worker is lost or its node stops.
    """
    never = service.policy is RestartPolicy.NEVER
    if ending is Ending.UNSTARTED or (ending is Ending.RETURNED and not never):
        return Verdict(Transition.RELEASE)
    if never or (ending is Ending.SUCCEEDED and service.policy is RestartPolicy.ON_FAILURE):
        return Verdict(_FINAL_TRANSITION[ending])
    if ending is Ending.SUCCEEDED or service.ran >= service.longest:
        return Verdict(Transition.RETRY, pause=service.interval, failures=0)
    pause = min(service.longest, service.interval * 2.0 ** min(service.failures, 60))
    return Verdict(Transition.RETRY, pause=pause, failures=service.failures + 1)


_STOP_HARD = 10

_LEAST_PAUSE = 0.1  #: seconds; a service that ends at once must not keep a core busy

#: options of jobs that apply to a service, too
_JOB_OPTIONS = ("queue", "priority", "timeout", "silence_timeout", "tags")


def _policy(_name: str, value: Any) -> str:
    try:
        return str(RestartPolicy(value))
    except ValueError:
        allowed = ", ".join(f'"{policy}"' for policy in RestartPolicy)
        raise InvalidOptionError(f"Invalid restart policy {value!r} is given! It must be one of {allowed}") from None


def service_name(name: str, value: Any) -> str:
    """Returns `value` if it may name a service; else InvalidOptionError."""
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.isprintable():
        raise InvalidOptionError(f"option {name} must be a printable name of at most 200 characters, not {value!r:.60}")
    return value


_CHECKS = {
    "name": service_name,
    "restart": _policy,
    "restart_interval": lambda name, value: seconds(name, value, least=_LEAST_PAUSE),
    "restart_interval_max": lambda name, value: seconds(name, value, least=_LEAST_PAUSE),
    "stop_soft": seconds,
    "stop_hard": seconds,
}

#: the options that may stand on the class of a service
SERVICE_CHECKS: Mapping[str, Check] = {
    **{name: _CHECKS[name] for name in _CHECKS if name != "name"},
    **{name: JOB_CHECKS[name] for name in _JOB_OPTIONS},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """The options of a service. `ServiceOptions.of` builds and validates them."""

    name: str
    restart: str = "always"  #: "always", "on-failure" or "never"
    restart_interval: float | int = 1  #: seconds before it is started again; doubled by each quick failure in a row
    restart_interval_max: float | int = 60  #: the longest such pause; a run of this length is no quick failure
    stop_soft: float | int = 5  #: seconds from the request to stop until JobInterrupted is raised in it
    stop_hard: float | int = _STOP_HARD  #: seconds after which it is killed

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> ServiceOptions:
        """Validates the options that a caller gave; InvalidOptionError if one is wrong."""
        options = cls(**checked(given, _CHECKS))
        if options.restart_interval > options.restart_interval_max:
            raise InvalidOptionError("option restart_interval must not be greater than option restart_interval_max")
        if options.stop_soft > options.stop_hard:
            raise InvalidOptionError("option stop_soft must not be greater than option stop_hard")
        return options

    def stored(self) -> dict[str, Any]:
        """Returns the field `service` of the job document."""
        return {**asdict(self), "failures": 0}


def split(
    name: str, given: Mapping[str, Any], declared: Mapping[str, Any] = MappingProxyType({})
) -> tuple[ServiceOptions, dict[str, Any]]:
    """Splits options into those of the service and those of its job.

    `name` is the default name; the options `declared` by the class are the defaults of those that are given.
    """
    given = {**{option: value for option, value in declared.items() if option in SERVICE_CHECKS}, **given}
    known = {
        option: value for option, value in given.items() if option in _CHECKS and (option, value) != ("name", None)
    }
    rest = {option: value for option, value in given.items() if option not in _CHECKS}
    for option in rest:
        if option not in _JOB_OPTIONS:
            raise InvalidOptionError(
                f"invalid option {option} given; a service takes {', '.join((*_CHECKS, *_JOB_OPTIONS))}"
            )
    fixed = {"at": 0, "interval": 0, "retry": 0, "timeout": 0, "force_spawn": True}
    return ServiceOptions.of({"name": name, **known}), {**fixed, **rest}


def restart_of(job: Mapping[str, Any], ran: float) -> Restart | None:
    """Reads from a job document what decides on its restart after `ran` seconds; None if it is no service."""
    service = job.get("service")
    if service is None:
        return None
    return Restart(
        RestartPolicy(service["restart"]),
        service["restart_interval"],
        service["restart_interval_max"],
        service["failures"],
        ran,
    )


def stop_time(job: Mapping[str, Any]) -> float:
    """Returns the seconds after which a service that was asked to stop is killed."""
    service = job.get("service")
    most: Any = service.get("stop_hard") if isinstance(service, Mapping) else None
    return float(most) if is_number(most) and 0 <= most <= LONGEST else _STOP_HARD


def seconds_alive(job: Mapping[str, Any]) -> float:
    """Returns for how many seconds the current attempt has run at least, from its signs of life."""
    started, alive = job.get("started"), job.get("alive")
    known = isinstance(started, datetime) and isinstance(alive, datetime)
    return max(0.0, (alive - started).total_seconds()) if known and alive and started else 0.0
