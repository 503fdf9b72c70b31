"""Marks requests whose answer has no end of its own, so that the server does not take them for late ones."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

_ENDLESS = "taskscheduler.endless"  #: in the state of a request, which middleware passes on


def endless(scope: MutableMapping[str, Any]) -> None:
    """Lets the answer to a request go on for as long as its client takes what is sent."""
    scope.setdefault("state", {})[_ENDLESS] = True


def is_endless(scope: Mapping[str, Any]) -> bool:
    """Returns whether the answer to a request may go on."""
    return bool(scope.get("state", {}).get(_ENDLESS))
