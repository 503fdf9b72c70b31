"""Renders templates: all values are escaped, and a missing name is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from taskscheduler.operations.audit.acting import acting, may_act
from taskscheduler_daemon.web.pages.static import VERSION

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Frame(Protocol):
    """What every page shows around its content."""

    @property
    def root(self) -> str:
        """The path under which a proxy serves the pages."""

    @property
    def database(self) -> str:
        """The name of the database."""

    @property
    def can_log_out(self) -> bool:
        """Whether people log in and out."""


class Place(NamedTuple):
    """An entry of the navigation."""

    name: str
    path: str
    text: str
    icon: str  #: the data of an SVG path, 16 wide and high


PLACES = (
    Place("overview", "", "Overview", "M2 2h5v7H2zM9 2h5v4H9zM9 8h5v6H9zM2 11h5v3H2z"),
    Place("jobs", "jobs", "Jobs", "M5.5 4H14M5.5 8H14M5.5 12H14M2 4h.01M2 8h.01M2 12h.01"),
    Place("failures", "failures", "Failures", "M8 2 1.5 13.5h13zM8 6.5v3M8 11.6h.01"),
    Place("schedules", "schedules", "Schedules", "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.8V8l2.2 1.6"),
    Place(
        "flows", "flows", "Flows", "M2 3.5h4v3H2zM10 2h4v3h-4zM10 11h4v3h-4zM6 5c3 0 1-1.5 4-1.5M6 5c3 0 1 7.5 4 7.5"
    ),
    Place("control", "control", "Queues and limits", "M3 2v12M8 2v12M13 2v12M1.5 10h3M6.5 5h3M11.5 11h3"),
    Place("metrics", "history", "Metrics", "M2 13.5h12M3.5 11V8M7 11V4.5M10.5 11V6.5M14 11V3"),
    Place("nodes", "nodes", "Nodes", "M2 2.5h12v4.5H2zM2 9h12v4.5H2zM4.5 4.8h.01M4.5 11.3h.01"),
    Place("audit", "audit", "Audit", "M3.5 1.5h6l3 3v10h-9zM5.5 6h3M5.5 8.5h5M5.5 11h5"),
)


def _breakable(name: str) -> Markup:
    """Returns a dotted name that may break after each dot."""
    return Markup(".<wbr>").join(name.split("."))


_TEMPLATES.filters["breakable"] = _breakable
_TEMPLATES.globals["acting"] = acting  # who looks at it: `acting().actor.name`
_TEMPLATES.globals["may"] = may_act  # `{% if may("job.cancel") %}`: whether the role of who looks at it allows that


def page(frame: Frame, name: str, code: int = 200, /, **values: Any) -> HTMLResponse:
    """Renders a page whose links begin with the root; characters that have no UTF-8 form become question marks."""
    around = {
        "root": frame.root,
        "database": frame.database,
        "can_log_out": frame.can_log_out,
        "places": PLACES,
        "version": VERSION,
    }
    text = _TEMPLATES.get_template(name).render(around | values)
    return HTMLResponse(text.encode("utf-8", "replace"), code)
