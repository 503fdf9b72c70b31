"""Answers in JSON, and the description of those that say what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bson import json_util
from fastapi import Response
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from taskscheduler_daemon.presentation.text import JSON_OPTIONS
from taskscheduler_daemon.web.http.problems import PREFIX, problem


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
    """Builds an error answer in the form of the service that was asked: a problem under /api/."""
    return _Refusal(code, message, headers)


class _Refusal(Response):
    def __init__(self, code: int, message: str, headers: Mapping[str, str] | None) -> None:
        # ASCII, as a message may repeat characters that have no UTF-8 form
        super().__init__(json.dumps({"message": message, "code": code}), code, headers, media_type="application/json")
        self._problem = problem(code, message, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if PREFIX in scope["path"]:
            await self._problem(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
