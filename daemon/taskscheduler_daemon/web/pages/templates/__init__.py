"""Renders templates: all values are escaped, and a missing name is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_HERE = Path(__file__).parent

STYLE = _HERE / "style.css"

_TEMPLATES = Environment(
    loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def _breakable(name: str) -> Markup:
    """Returns a dotted name that may break after each dot."""
    return Markup(".<wbr>").join(name.split("."))


_TEMPLATES.filters["breakable"] = _breakable


def page(name: str, code: int = 200, /, *, root: str, **values: Any) -> HTMLResponse:
    """Renders a page whose links begin with `root`; characters that have no UTF-8 form become question marks."""
    text = _TEMPLATES.get_template(name).render(values | {"root": root})
    return HTMLResponse(text.encode("utf-8", "replace"), code)
