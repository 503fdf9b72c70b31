"""What endpoints take: names in the path, parameters that are known, and bodies in JSON with a description."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

from fastapi import Depends, Path, Request
from pydantic import BaseModel, ValidationError

from taskscheduler.model.checks import near_miss
from taskscheduler_daemon.web.http.bad_input import ECHO
from taskscheduler_daemon.web.http.bodies import body_of, json_object
from taskscheduler_daemon.web.http.problems import ProblemError

F = TypeVar("F", bound=BaseModel)

_SAFE = ("GET", "HEAD")

REASON = "reason"  #: a parameter of each request that changes something; it is in the audit log


def _name(name: Annotated[str, Path(description="percent-encoded, a slash as %2F")]) -> str:
    """Returns the name in a path, which comes as it was sent: a name may have slashes."""
    return unquote(name)


Name = Annotated[str, Depends(_name)]


async def _body(request: Request) -> bytes:
    """Returns a body of JSON, or an empty one; answers 415 for any other type, as a form has."""
    body = await body_of(request)
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and given != "application/json" and not (given.startswith("application/") and given.endswith("+json")):
        raise ProblemError(
            415,
            "unsupported-media-type",
            f"The body must be JSON with the header Content-Type: application/json, not {given[:ECHO] or 'without it'}",
        )
    return body


Body = Annotated[bytes, Depends(_body)]


def check_parameters(request: Request) -> None:
    """Refuses parameters that the endpoint has not, as a filter with a wrong name would list everything."""
    known = list(_parameters(request.scope["route"].dependant))
    given = request.query_params
    check_known(given, known if request.method in _SAFE else [*known, REASON], "parameter")
    for name in given:
        if len(given.getlist(name)) > 1:
            raise ProblemError(400, "repeated-parameter", f'The parameter "{name}" is given more than once')


def _parameters(dependant: Any) -> Iterator[str]:
    """Yields the names of the parameters of an endpoint and of what it depends on."""
    yield from (field.alias for field in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _parameters(inner)


#: of all routers of the service
CHECKED = [Depends(check_parameters)]


def check_known(given: Iterable[str], known: Iterable[str], noun: str) -> None:
    """Refuses unknown names, and says which one is near."""
    known = list(known)
    for name in given:
        if name not in known:
            names = f"; there are {', '.join(known)}" if known else "; there are none"
            detail = f'Unknown {noun} "{name:.{ECHO}}"{near_miss(name[:ECHO], known) or names}'
            raise ProblemError(400, f"unknown-{noun}", detail)


def form_of(body: bytes, form: type[F]) -> F:
    """Returns the object in a body, checked; an empty body is an empty object."""
    given = json_object(body) if body else {}
    if form.model_config.get("extra") == "forbid":
        check_known(given, form.model_fields, "field")
    try:
        return form.model_validate(given)
    except ValidationError as error:
        found = error.errors()[0]
        place = ".".join(map(str, found["loc"]))
        raise ProblemError(400, "invalid-field", f"{place[:ECHO]}: {found['msg'][:ECHO]}") from None


def takes(form: type[BaseModel], required: bool = True) -> dict[str, Any]:
    """Returns the description of an endpoint with this body."""
    return {
        "requestBody": {"required": required, "content": {"application/json": {"schema": form.model_json_schema()}}}
    }
