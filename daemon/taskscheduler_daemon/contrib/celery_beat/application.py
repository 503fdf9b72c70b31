"""Finds the beat_schedule of an application that the command line names."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class ApplicationError(Exception):
    """Raised if there is no beat_schedule under the name; the text says why."""


@dataclass(frozen=True, slots=True)
class BeatSchedule:
    """The entries of a beat_schedule by name, and the time zone of the application; None if it says none."""

    entries: Mapping[Any, Any]
    timezone: str | None


def beat_schedule(place: str) -> BeatSchedule:
    """Imports the module of MODULE:NAME and returns the beat_schedule of the application, or mapping, of that name.

    Raises ApplicationError.
    """
    module, _, name = place.partition(":")
    if not module or not name:
        raise ApplicationError(f"{place!r} must be MODULE:NAME, such as proj.celery:app")
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return _of(found, place)
    except ApplicationError:
        raise
    except (Exception, SystemExit) as error:  # an import may raise anything
        raise ApplicationError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error


def _of(found: Any, place: str) -> BeatSchedule:
    if isinstance(found, Mapping):
        return BeatSchedule(found, None)
    conf = getattr(found, "conf", None)
    entries = getattr(conf, "beat_schedule", None)
    if not isinstance(entries, Mapping):
        raise ApplicationError(f"{place} is neither a Celery application nor a mapping, but {type(found).__name__}")
    if callable(finalize := getattr(found, "finalize", None)):
        finalize()  # handlers of on_after_finalize add periodic tasks
        entries = conf.beat_schedule if conf else entries
    zone = getattr(found, "timezone", None)
    return BeatSchedule(entries, None if zone is None else str(zone))
