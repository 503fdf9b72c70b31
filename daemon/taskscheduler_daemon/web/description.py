"""The description of the web service in OpenAPI: what each endpoint takes, and all that it may answer."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.types import Lifespan

from taskscheduler_daemon.web.http.problems import PREFIX, Problem, of_bodies, problems_in

#: a parameter of every request that changes something; see `operations.audit`
_REASON = {
    "name": "reason",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 500},
    "description": "why; it is in the audit log",
}

#: the endpoints whose body names a job
_NAMING = (("/tasks", "post"), ("/api/v1/jobs", "post"), ("/api/v1/schedules/{name}", "put"))


class Described(FastAPI):
    """Describes itself with the jobs that can be posted, and without the answer 422, which it never gives."""

    def __init__(
        self, routers: Iterable[APIRouter], jobs: frozenset[str], lifespan: Lifespan[FastAPI] | None = None
    ) -> None:
        super().__init__(
            lifespan=lifespan,
            title="taskscheduler",
            version="1",
            description="Jobs, and why they wait; flows, schedules, limits, groups and sequences; the cluster.",
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            openapi_url=None,
        )
        self._jobs = jobs
        for router in routers:
            self.include_router(router)

    def under(self, root: str) -> dict[str, Any]:
        """Returns the description of the application as it is served under this path."""
        return {**self.openapi(), **({"servers": [{"url": root}]} if root else {})}

    def openapi(self) -> dict[str, Any]:
        """Returns the OpenAPI description."""
        described = deepcopy(super().openapi())
        for path, verb in _NAMING if self._jobs else ():
            body = described["paths"][path][verb]["requestBody"]["content"]["application/json"]["schema"]
            body["properties"]["job"]["enum"] = sorted(self._jobs)
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                _complete(path, method, operation)
        schemas = described["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Problem"] = Problem.model_json_schema()
        return described


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Adds to the description of an endpoint what all of its kind have."""
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    if path.startswith(PREFIX):
        more = of_bodies() if "requestBody" in operation else {}
        responses.update(problems_in({**more, **responses}))
        operation["responses"] = dict(sorted(responses.items()))
    if method != "get":
        operation.setdefault("parameters", []).append(deepcopy(_REASON))
