"""Turns reasons into short plain values for the templates, with where to go from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from taskscheduler.model.control.reasons import Code, Reason
from taskscheduler.model.job_ids import id_text
from taskscheduler_daemon.presentation.reason import MEANINGS, counted
from taskscheduler_daemon.web.pages.truncate import line
from taskscheduler_daemon.web.pages.view_models import Row


class Link(NamedTuple):
    """An address below the root, and its text."""

    address: str
    text: str


#: where people see, and change, what keeps jobs back
_PLACES: Mapping[Code, Link] = {
    Code.PAUSED: Link("control#pauses", "Pauses"),
    Code.SEQUENCE: Link("control#sequences", "Blocked sequences"),
    Code.LIMIT: Link("control#limits", "Limits"),
    Code.RATE: Link("control#limits", "Limits"),
}

_GROUPS = Link("control#groups", "Groups")


def reason_view(reason: Reason) -> Row:
    """Returns why a job does not run."""
    return {"code": str(reason.code), "text": line(reason.text, 500), "links": _links(reason)}


def _links(reason: Reason) -> list[Link]:
    facts = reason.facts
    links = [_PLACES[reason.code]] if reason.code in _PLACES else []
    if "group" in facts:
        links.append(_GROUPS)
    if "job" in facts:
        links.append(Link(f"jobs/{quote(id_text(facts['job']), safe='')}", "That job"))
    if "queue" in facts:
        links.append(Link("jobs?" + _waiting_in(facts["queue"]), "Jobs of this queue"))
    return links


def _waiting_in(queue: Any) -> str:
    return urlencode({"status": "waiting", "queue": str(queue)}, errors="replace")


def reason_row(code: Code, number: int) -> Row:
    """Returns how many jobs there are of a code; those that count as BEHIND are the ones of groups."""
    link = _GROUPS if code == Code.BEHIND else _PLACES.get(code)
    return {"code": str(code), "count": counted(number), "meaning": MEANINGS[code], "link": link}
