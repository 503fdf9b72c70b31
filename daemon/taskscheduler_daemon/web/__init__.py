"""The web pages and the webservice: one ASGI application on a Scheduler. Needs the extra `web`."""

from __future__ import annotations

from taskscheduler_daemon.web.app import create_app
from taskscheduler_daemon.web.http.access.policies import Access, ProxyAccess, SharedToken, UserAccess
from taskscheduler_daemon.web.http.access.users import UsersFile

__all__ = ["Access", "ProxyAccess", "SharedToken", "UserAccess", "UsersFile", "create_app"]
