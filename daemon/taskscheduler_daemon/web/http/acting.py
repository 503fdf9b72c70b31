"""Says on whose behalf a request acts, for all that is done to answer it: rights and audit log go by that.

Every request that reaches an endpoint acts for somebody, so every action of an endpoint is checked and written down
where it is defined, in `taskscheduler.facade`. An endpoint has nothing to do for that, however it was added.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.audit.actors import Actor
from taskscheduler.operations.audit.acting import acting_as
from taskscheduler_daemon.web.http.answers import refusal

SAFE = ("GET", "HEAD", "OPTIONS")


async def act_as(actor: Actor, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Lets an application answer a request on behalf of somebody, with the reason in its address, if there is one."""
    try:
        entered = acting_as(actor, _reason(scope))
    except InvalidOptionError as error:
        await refusal(400, str(error))(scope, receive, send)
        return
    with entered:
        await app(scope, receive, send)


def _reason(scope: Scope) -> str | None:
    """Returns the parameter `reason` of a request that may change something."""
    if scope["method"] in SAFE:
        return None
    given = parse_qs(scope["query_string"].decode("utf-8", "replace")).get("reason")
    return given[-1] if given else None
