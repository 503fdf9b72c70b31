"""Shortens values of any size and kind for a page, printable and never cut inside of an escape."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.text import json_pretty

MOST_TEXT = 1000  #: characters of one text

MOST_NAME = 120  #: characters of a key

MOST_ITEMS = 100  #: items of one list or mapping

MOST_SHOWN = 20_000  #: characters of the whole

_HEX = 24


def shown(value: Any) -> str:
    """Returns a value as readable JSON with long parts shortened, so that no program should parse it."""
    return clip(json_pretty(_short(value)), MOST_SHOWN)


def clip(text: str, most: int) -> str:
    """Returns the beginning of a text, with the number of characters that are left out."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most} more characters)"


def line(value: object, most: int = 120) -> str:
    """Returns one printable line of about `most` characters at most."""
    text = clean(str(value)[: most + 1])
    return text if len(text) <= most else text[:most] + "…"


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return clip(value, MOST_TEXT)
    if isinstance(value, bytes):
        more = "…" if len(value) > _HEX else ""
        return f"<{len(value)} bytes: {value[:_HEX].hex(' ')}{more}>"
    if isinstance(value, Mapping):
        parts = {clip(str(name), MOST_NAME): _short(item) for name, item in islice(value.items(), MOST_ITEMS)}
        return parts | _rest(len(value))
    if isinstance(value, list | tuple):
        return [*map(_short, value[:MOST_ITEMS]), *_rest(len(value)).items()]
    return value


def _rest(count: int) -> dict[str, str]:
    return {"…": f"{count - MOST_ITEMS} more"} if count > MOST_ITEMS else {}
