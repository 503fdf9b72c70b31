"""What is wrong with a request, as RFC 9457 has it: `application/problem+json`, for every error under /api/v1."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from taskscheduler.errors import (
    AuthenticationError,
    DatabaseUnavailableError,
    DuplicateJobError,
    FlowNotFoundError,
    InvalidArgumentsError,
    InvalidDataError,
    InvalidFlowError,
    InvalidJobError,
    InvalidOptionError,
    InvalidStateError,
    JobNotFoundError,
    NotPermittedError,
    PayloadTooLargeError,
    ScheduleNotFoundError,
    SchedulerError,
    ServiceNotFoundError,
)

PREFIX = "/api/"

MEDIA_TYPE = "application/problem+json"

_URN = "urn:taskscheduler:problem:"

_AGAIN_IN = "2"  #: seconds after which a request may find the database again; an election takes some

#: the type and the status of each error of the library, the most special ones first
_ERRORS: tuple[tuple[type[Exception], str, int], ...] = (
    (JobNotFoundError, "job-not-found", 404),
    (FlowNotFoundError, "flow-not-found", 404),
    (ScheduleNotFoundError, "schedule-not-found", 404),
    (ServiceNotFoundError, "service-not-found", 404),
    (NotPermittedError, "not-permitted", 403),
    (DuplicateJobError, "duplicate-job", 409),
    (InvalidStateError, "invalid-state", 409),
    (PayloadTooLargeError, "payload-too-large", 413),
    (InvalidArgumentsError, "invalid-arguments", 400),
    (InvalidDataError, "invalid-data", 400),
    (InvalidFlowError, "invalid-flow", 400),
    (InvalidJobError, "invalid-job", 400),
    (InvalidOptionError, "invalid-option", 400),
    (AuthenticationError, "database-refuses", 503),
    (DatabaseUnavailableError, "database-unavailable", 503),
)

_TEXTS = {
    400: "a wrong value, which the detail names",
    401: "the token is missing",
    403: "not allowed to this user, or a cross-site request",
    404: "there is none",
    408: "the request took too long to arrive",
    409: "not possible now, as the detail explains",
    412: "it is not as many as expected",
    413: "too large",
    415: "the body is no JSON",
    422: "the Idempotency-Key was used for another request",
    500: "technical error",
    504: "the node of the job does not answer in time",
    503: "the database does not answer, or there are too many requests; Retry-After says when to try again",
}

#: any request may have an unknown parameter, come from a stranger, or find no database
_ALWAYS = (400, 401, 403, 500, 503)

_OF_BODIES = (408, 413, 415)


class Problem(BaseModel):
    """What is wrong with a request; see RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="a URN that names the kind of problem; about:blank if the status says all")
    title: str = Field(description="the same for people")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="what is wrong with this request, and what is allowed")


class ProblemError(Exception):
    """Raised by an endpoint: answered as a problem."""

    def __init__(self, status: int, kind: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.more = more

    def answer(self) -> Response:
        """Returns the answer."""
        return problem(self.status, self.detail, self.kind, **self.more)


def problem(
    status: int, detail: str, kind: str | None = None, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """Returns a problem as an answer. `kind`: a name for programs; `more`: further members."""
    title = kind.replace("-", " ").capitalize() if kind else HTTPStatus(status).phrase
    body = {"type": _URN + kind if kind else "about:blank", "title": title, "status": status, "detail": detail, **more}
    headers = {**({"Retry-After": _AGAIN_IN} if status == 503 else {}), **(headers or {})}
    return Response(json.dumps(body), status, headers, media_type=MEDIA_TYPE)


def known_problem(error: SchedulerError) -> Response | None:
    """Returns the answer to an error of the library that says what is wrong; None for one that needs a look."""
    for of_type, kind, status in _ERRORS:
        if isinstance(error, of_type):
            return problem(status, str(error)[:1000], kind)
    return None


_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def problems_in(responses: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the errors among described answers as the problems that they are."""
    errors = {code: told for code, told in responses.items() if code[0] in "45"}
    return {code: {"description": told["description"], "content": _CONTENT} for code, told in errors.items()}


def of_bodies() -> dict[str, dict[str, Any]]:
    """Returns the description of the answers that any request with a body may get."""
    return {str(code): {"description": _TEXTS[code]} for code in _OF_BODIES}


def problems(*codes: int, missing: str | None = None) -> dict[int | str, dict[str, Any]]:
    """Returns the description of these answers, and of those that any request may get."""
    texts = {**_TEXTS, **({404: missing} if missing else {})}
    return {code: {"description": texts[code], "content": _CONTENT} for code in sorted({*codes, *_ALWAYS})}
