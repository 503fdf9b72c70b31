"""Requests to all that the web service describes, and whether an answer is as described.

It loads schemathesis, which takes a second. So tests import it when they run, not when they are collected.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from taskscheduler_daemon.web.app import WebApplication, openapi
from tests.support.access import by_token
from tests.support.changing import Things

_AS_DESCRIBED: list[Any] = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]

#: endpoints that follow changes; they answer 503 here, as what they follow is closed so that they have an end
_ENDLESS = ("/stream", "/wait")


def operations() -> list[Any]:
    """Returns the operations of version 1."""
    schema = schemathesis.openapi.from_dict(openapi(["noop"])).include(path_regex="^/api/v1")
    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


def modes_of(operation: Any) -> list[GenerationMode]:
    """Returns which requests there are: good ones, and bad ones unless any text in the path is a good request."""
    has_more = operation.query or operation.headers or operation.body
    return [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if has_more else [])]


def try_all(app: WebApplication, things: Things, name: str, examples: settings) -> int:
    """Sends so many requests of each kind to each operation, as this user; returns how many were sent."""
    sent = 0
    for operation in operations():
        for mode in modes_of(operation):

            @examples
            @given(case=operation.as_strategy(mode), is_about_a_thing=st.booleans())
            def check(case: Any, is_about_a_thing: bool) -> None:
                nonlocal sent
                if is_about_a_thing and "name" in case.path_parameters:
                    case.path_parameters["name"] = things.names(case.path)["name"]
                answer = case.call(app=app, base_url="http://localhost", headers=by_token(name))
                case.validate_response(answer, checks=_AS_DESCRIBED)
                assert answer.status_code < (504 if case.path.endswith(_ENDLESS) else 500), case.as_curl_command()
                sent += 1

            check()
    return sent
