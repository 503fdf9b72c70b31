"""Probes: `/livez` and `/readyz`, answered to anybody: who asks learns nothing but whether this process works."""

from __future__ import annotations

import logging
from functools import partial

import anyio
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from taskscheduler.errors import SchedulerError
from taskscheduler.scheduler import Scheduler
from taskscheduler.store.client import within
from taskscheduler.store.driver_errors import translated
from taskscheduler_daemon.web.http.mounting import Mount

logger = logging.getLogger(__name__)

_WITHIN = 2.0  #: seconds that the database may take

_PATHS = ("/livez", "/readyz")


class Probes:
    """Answers the probes of a supervisor, which has neither a token nor one of our names for this host."""

    def __init__(self, scheduler: Scheduler, root: str) -> None:
        self._scheduler = scheduler
        self._mount = Mount(root)

    def is_for(self, scope: Scope) -> bool:
        """Whether a request is a probe."""
        is_read = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        return is_read and self._mount.place(scope).path in _PATHS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers `ok`, or what is wrong."""
        is_ready = scope["path"].endswith("/livez") or await anyio.to_thread.run_sync(partial(answers, self._scheduler))
        text, code = ("ok\n", 200) if is_ready else ("the database does not answer\n", 503)
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        await PlainTextResponse(text, code, headers)(scope, receive, send)


def answers(scheduler: Scheduler) -> bool:
    """Whether the database answers in time."""
    try:
        with translated(), within(_WITHIN):
            scheduler.database.command("ping")
    except SchedulerError as error:
        logger.info("the database does not answer", extra={"reason": str(error)[:200]})
        return False
    return True
