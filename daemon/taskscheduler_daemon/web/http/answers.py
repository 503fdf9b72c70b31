"""Answers in JSON, and the description of those that say what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bson import json_util
from fastapi import Response
from pydantic import BaseModel

from taskscheduler_daemon.presentation.text import JSON_OPTIONS


class Error(BaseModel):
    """The body of an error."""

    message: str
    code: int


_ERRORS = {
    400: "a wrong value, which the message names",
    404: "no such task",
    408: "the request took too long to arrive",
    409: "not possible now, as the message explains",
    413: "too large",
    500: "technical error",
    504: "no answer in time",
}
_ALWAYS = {401: "the token is missing", 403: "a cross-site request"}


def described_errors(*codes: int, missing: str = "no such task") -> dict[int | str, dict[str, Any]]:
    """Returns the description of these answers, and of those that any request may get."""
    texts = {**_ERRORS, 404: missing}
    described = {code: texts[code] for code in codes} | _ALWAYS
    return {code: {"model": Error, "description": text} for code, text in sorted(described.items())}


def json_bytes(value: Any) -> bytes:
    """Returns a value as relaxed extended JSON."""
    return json_util.dumps(value, json_options=JSON_OPTIONS).encode()


def json_answer(value: Any, code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answers a value as relaxed extended JSON."""
    return Response(json_bytes(value), code, headers, media_type="application/json")


def refusal(code: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Builds an error answer of the webservice."""
    # ASCII, as a message may repeat characters that have no UTF-8 form
    text = json.dumps({"message": message, "code": code})
    return Response(text, code, headers, media_type="application/json")
