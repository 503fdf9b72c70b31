"""Lets a few requests at once read data of jobs: decoded, these take many times as much memory as they do stored."""

from __future__ import annotations

import asyncio
import re

from starlette.types import ASGIApp, Receive, Scope, Send

from taskscheduler_daemon.web.http.answers import refusal

AT_ONCE = 4  #: requests that read or write data of jobs

_WAIT = 30.0  #: seconds that another request waits for its turn

_PATHS = ("/tasks", "/task/", "/jobs/", "/schedule/", "/control", "/flows", "/api/")

#: what waits for others, and so must not keep them from their turn
_LONG = re.compile(r"/api/v1/(?:stream|jobs/[^/]+/wait)")

_PATH = "/schedule"  #: of one schedule, which its page has as a parameter


class TurnMiddleware:
    """Answers requests for the data of jobs a few at a time, each until its answer has been taken.

    One that waits for too long is answered with 503.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _takes_turn(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(_WAIT):
                await self._turns.acquire()
        except TimeoutError:
            await refusal(503, "Too many requests for data at once", {"Retry-After": "5"})(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._turns.release()


def _takes_turn(path: str) -> bool:
    return (path == _PATH or path.startswith(_PATHS)) and _LONG.fullmatch(path) is None
