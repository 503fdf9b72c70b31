"""What a job with the option `batch` takes: one argument, the list of what its jobs were given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args, get_origin

from taskscheduler.declarations.type_checks import LISTS, hints_of
from taskscheduler.errors import InvalidJobError

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def item_hint(function: Callable[..., Any]) -> Any:
    """Returns the type of one item, X if the first argument is annotated as a list of X; Any if it is not."""
    names = [one.name for one in _parameters(function) if one.kind in _BY_PLACE and one.name != "self"]
    hint = hints_of(function).get(names[0]) if names else None
    given = get_args(hint)
    return given[0] if get_origin(hint) in LISTS and given else Any


def wants_job(function: Callable[..., Any]) -> bool:
    """Whether a function takes the running job, as an argument that is given by name alone."""
    return any(one.name == "job" and one.kind is one.KEYWORD_ONLY for one in _parameters(function))


def check_takes_items(name: str, function: Callable[..., Any], is_method: bool) -> None:
    """Raises InvalidJobError unless a function can be called with the list of the items."""
    added = {"job": None} if not is_method and wants_job(function) else {}
    try:
        inspect.signature(function).bind(*([None] if is_method else []), [], **added)
    except TypeError:
        call = "start(self, items)" if is_method else "a function (items)"
        raise InvalidJobError(
            f"job {name} has the option batch, so it must be {call}: it gets a list of what its jobs were given"
        ) from None


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())
