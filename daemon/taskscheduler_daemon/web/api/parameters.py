"""What the endpoints of named things take: a name in the path, and a body with a description."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Depends, Path
from pydantic import BaseModel

from taskscheduler_daemon.web.http.bodies import body_of


def _name(name: Annotated[str, Path(description="percent-encoded, a slash as %2F")]) -> str:
    """Returns the name in a path, which comes as it was sent: a name may have slashes."""
    return unquote(name)


Name = Annotated[str, Depends(_name)]
Body = Annotated[bytes, Depends(body_of)]


def takes(form: type[BaseModel], required: bool = True) -> dict[str, Any]:
    """Returns the description of an endpoint with this body."""
    return {
        "requestBody": {"required": required, "content": {"application/json": {"schema": form.model_json_schema()}}}
    }
