"""What there is to change through the web application: one thing of each kind, and the routes that change them."""

from __future__ import annotations

import re
from typing import Any

from starlette.testclient import TestClient

from taskscheduler import Scheduler, Status
from taskscheduler_daemon.web.http.acting import SAFE
from tests.support.flowing import order
from tests.support.web import ended


def application(client: TestClient) -> Any:
    app: Any = client.app
    while not hasattr(app, "router"):
        app = app._app
    return app


def writing_routes(app: Any) -> set[tuple[str, str]]:
    """All routes of the application that may change something, from its own table."""
    found, left = set[tuple[str, str]](), [*app.router.routes]
    while left:
        route = left.pop()
        inner = getattr(route, "original_router", None) or getattr(route, "app", None)
        left += [*getattr(inner, "routes", ())] if not hasattr(route, "methods") else []
        found |= {(method, route.path) for method in getattr(route, "methods", None) or () if method not in SAFE}
    return found


class Things:
    """Something of each kind that there is to change."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.job = str(scheduler.add_job("noop").id)
        self.failed = str(ended(scheduler, Status.FAILED, error={"type": "x"}))
        self.flow = str(scheduler.flows.add(order(2)).id)
        scheduler.schedules.add("s", "noop", every=3600)
        scheduler.limits.set("l", concurrency=1)
        scheduler.groups.set("g", 2)
        scheduler.pause(queue="mail")

    def names(self, path: str) -> dict[str, str]:
        """The parameters of a path, so that it is the path of one of these things."""
        named = {"identifier": self.flow if path.startswith("/flows") else self.job}
        if path.startswith("/api/v1/flows"):
            named["name"] = self.flow
        elif path.startswith("/api/"):
            named["name"] = next((one[0] for one in ("schedules", "limits", "groups") if one in path), self.job)
        return {"name": "cancel", "action": "pause", "kind": "limit", **named}

    def filled(self, path: str) -> str:
        named = self.names(path)
        return re.sub(r"\{(\w+)[^}]*\}", lambda part: named.get(part[1], self.job), path)

    def stored(self) -> dict[str, list[Any]]:
        database = self.scheduler.database
        names = [name for name in database.list_collection_names() if name != "taskscheduler.audit"]
        return {name: [*database[name].find().sort("_id", 1)] for name in sorted(names)}
