"""The filter bar of the list of jobs: a tab for each status, and a chip for each condition. Each view is an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode

from taskscheduler.model.filters.expression import Filter
from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.presentation.job import count
from taskscheduler_daemon.web.pages.filters import JobFilter
from taskscheduler_daemon.web.pages.truncate import line
from taskscheduler_daemon.web.pages.view_models import Row, status_view

_NAMES = {"job": "class"}  #: parameters that the filter language has another name for


def tabs(wanted: JobFilter, counts: Mapping[Status, int]) -> list[Row]:
    """Returns all statuses with their numbers of jobs, whatever else is filtered; the chosen one is marked."""
    shown = _chosen(wanted)
    rows = [{"text": "All", "sign": "", "name": "", "count": "", "on": shown == "", "query": _within(wanted, "")}]
    for status, number in counts.items():
        view = status_view(status)
        rows.append(
            {
                "text": view["name"],
                "sign": view["sign"],
                "name": view["name"],
                "count": count(number),
                "on": shown == view["name"],
                "query": _within(wanted, view["name"]),
            }
        )
    return rows


def _chosen(wanted: JobFilter) -> str:
    """Returns the status that is filtered, as far as a tab stands for it; empty for none, and a dash for another."""
    terms = [term for term in Filter.parse(wanted.q).terms if term.key == "status"]
    if not terms:
        return wanted.status
    alone = not wanted.status and len(terms) == 1 and len(terms[0].values) == 1
    return terms[0].values[0].text.lower() if alone else "-"


def _within(wanted: JobFilter, status: str) -> str:
    """Returns the query for the same jobs in another status."""
    others = [str(term) for term in Filter.parse(wanted.q).terms if term.key != "status"]
    return _query(replace(wanted, status=status, q=" ".join(others), before=""))


def _query(wanted: JobFilter) -> str:
    return urlencode(wanted.given, errors="replace")


def chips(wanted: JobFilter) -> list[Row]:
    """Returns the conditions, each with the query for the view without it."""
    fields = [(name, value) for name, value in wanted.given.items() if name != "q"]
    found = [
        {
            "text": line(f"{_NAMES.get(name, name)}:{value}", 120),
            "query": _query(replace(wanted, **{name: "", "before": ""})),
        }
        for name, value in fields
    ]
    terms = Filter.parse(wanted.q).terms
    for index, term in enumerate(terms):
        rest = " ".join(str(one) for other, one in enumerate(terms) if other != index)
        found.append({"text": line(str(term), 120), "query": _query(replace(wanted, q=rest, before=""))})
    return found
