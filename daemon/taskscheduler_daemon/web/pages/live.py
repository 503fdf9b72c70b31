"""The stream that tells a page that what it shows has changed: once a second at most, and never what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse

from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.http.endless import endless
from taskscheduler_daemon.web.live.changes import FLOW, JOB, SCHEDULE, SETTING, Change
from taskscheduler_daemon.web.live.feed import FeedClosedError, Subscription, TooManySubscribersError

_EVERY = 1.0  #: seconds between two messages

_PING = 15.0  #: seconds after which a client that hears nothing is told that the stream goes on

_KINDS = frozenset((JOB, FLOW, SCHEDULE, SETTING))

_CHANGED, _ALIVE = b"event: change\ndata:\n\n", b": alive\n\n"

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows: things of some kinds, one job, or one flow with its jobs."""

    kinds: frozenset[str]
    job: str = ""
    flow: str = ""

    def holds(self, change: Change) -> bool:
        """Returns whether the page shows what has changed."""
        if self.job and change.kind == JOB:
            return change.id == self.job
        if self.flow and change.kind in (JOB, FLOW):
            return self.flow in (change.id, change.flow)
        return change.kind in self.kinds


@router.get("/live")
async def live(request: Request, kinds: str = "", job: str = "", flow: str = "") -> StreamingResponse:
    """Sends an event when something of these kinds, that job or that flow has changed; without any, of anything."""
    others = frozenset((SETTING,)) if job or flow else _KINDS
    wanted = frozenset(kinds.split()) & _KINDS or others
    try:
        subscription = context_of(request).feed.subscribe(wanted=Shown(wanted, job, flow))
    except (TooManySubscribersError, FeedClosedError):
        raise HTTPException(503, "Too many pages follow changes", {"Retry-After": "10"}) from None
    endless(request.scope)
    return StreamingResponse(_events(subscription), media_type="text/event-stream", headers=_HEADERS)


async def _events(subscription: Subscription) -> AsyncIterator[bytes]:
    with subscription:
        yield _ALIVE
        try:
            while True:
                batch = await subscription.next(_PING, pause=_EVERY)
                yield _CHANGED if batch.changes or batch.lost else _ALIVE
        except FeedClosedError:
            return
