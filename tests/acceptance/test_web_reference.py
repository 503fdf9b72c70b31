"""The reference of the web service names every route and parameter that the description has, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from tests.support.pages import DOCS

from taskscheduler_daemon.web.app import openapi

PAGE = (DOCS / "reference" / "web-service.md").read_text()

_SPAN = re.compile(r"`([^`\n]+)`")
_ROUTE = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/\S+)")
_SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)}

Route = tuple[str, str]


def plain(path: str) -> str:
    """A path whose parameters have no names."""
    return re.sub(r"\{\w+\}", "{}", path)


@cache
def described() -> dict[Route, dict[str, Any]]:
    """The operations of the description."""
    paths = openapi()["paths"]
    return {(verb.upper(), plain(path)): one for path, verbs in paths.items() for verb, one in verbs.items()}


def first_cells(text: str) -> Iterator[list[str]]:
    """The code spans in the first cell of each row of its tables."""
    for row in text.splitlines():
        if row.startswith("| `"):
            yield _SPAN.findall(row.split(" | ")[0])


def routes(text: str) -> Iterator[Route]:
    """The routes in tables: `GET /a/b`, `/c` are two, and so are `GET /a`, `POST`, and `POST /a:b`, `:c`."""
    for spans in first_cells(text):
        verb, path = "", ""
        for span in spans:
            if found := _ROUTE.fullmatch(span):
                verb, path = found.groups()
            elif span.startswith("/"):
                path = path.rpartition("/")[0] + span
            elif span.startswith(":"):
                path = path.rpartition(":")[0] + span
            elif span in ("POST", "PUT", "PATCH", "DELETE"):
                verb = span
            else:
                continue
            yield verb, plain(path)


def test_the_routes_are_those_of_the_description() -> None:
    named = list(routes(PAGE))
    assert len(named) == len(set(named))
    assert set(named) == {*described(), ("GET", "/openapi.json")}


def parameters(route: Route) -> set[str]:
    """Its parameters but those in the path, and the reason that all changes take."""
    given = described().get(route, {}).get("parameters", [])
    return {one["name"].lower() for one in given if one["in"] != "path"} - {"reason"}


@pytest.mark.parametrize("heading", [heading for heading, text in _SECTIONS.items() if any(routes(text))])
def test_the_parameters_are_those_of_the_description(heading: str) -> None:
    text, taken = _SECTIONS[heading], set[str]()
    for route in routes(text):
        taken |= parameters(route)
    words = {word.lower() for span in _SPAN.findall(text) for word in re.findall(r"[\w-]+", span)}
    assert taken - words == set()
    listed = {
        span
        for part in re.findall(r"^\| parameter \|.*?\n\n", text + "\n\n", re.DOTALL | re.MULTILINE)
        for spans in first_cells(part)
        for span in spans
    }
    assert listed - taken == set()
