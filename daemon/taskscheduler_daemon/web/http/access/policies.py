"""Decides who a request acts for: by a token for all, a file of users, or the word of a proxy."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler.model.audit.actions import Role
from taskscheduler.model.audit.actors import WEB, Actor
from taskscheduler_daemon.web.http.access.passwords import nobody, token_hash, verifies
from taskscheduler_daemon.web.http.access.sessions import COOKIE, Sessions
from taskscheduler_daemon.web.http.access.throttle import LoginThrottle
from taskscheduler_daemon.web.http.access.users import NAME, User, UsersFile, UsersFileError
from taskscheduler_daemon.web.http.access.visits import LOOPBACK, Network, Visit, is_in

logger = logging.getLogger(__name__)

ANYONE, SHARED = "anyone", "shared token"

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="taskscheduler", charset="UTF-8"'}


class Stranger(NamedTuple):
    """Somebody who is not let in: the answer of the web service, and whether a person may log in instead."""

    code: int
    message: str
    headers: Mapping[str, str] = {}
    may_log_in: bool = False


class Access(Protocol):
    """A way to know who sends a request."""

    proxies: Sequence[Network]  #: what is believed that they say of the client
    is_guarded: bool  #: whether strangers are kept out

    def admit(self, visit: Visit) -> Actor | Stranger:
        """Returns who a request acts for."""
        ...


class SharedToken:
    """One token for all, who may do everything; or none: then everybody may, who can reach the server."""

    def __init__(self, token: str | None, proxies: Sequence[Network] = ()) -> None:
        self.proxies = proxies
        self._token = token.encode() if token else None
        self.is_guarded = self._token is not None

    def admit(self, visit: Visit) -> Actor | Stranger:
        """Returns who a request acts for. A name that it gives is in front, and was not checked."""
        user, given = visit.credentials()
        if self._token is not None and not hmac.compare_digest(given, self._token):
            return Stranger(401, "This request needs a token", _CHALLENGE)
        name = ANYONE if self._token is None else SHARED
        said = user[:80] if user.isprintable() else ""
        return Actor(f"{said} ({name})" if said else name, via=WEB, address=visit.address or None)


class UserAccess:
    """Users of a file: people log in and have a session, programs send a token of a user."""

    def __init__(self, file: UsersFile, proxies: Sequence[Network] = (), clock: Clock = SYSTEM_CLOCK) -> None:
        self.proxies = proxies
        self.is_guarded = True
        self.sessions = Sessions(clock)
        self.throttle = LoginThrottle(clock)
        self._file = file

    def admit(self, visit: Visit) -> Actor | Stranger:
        """Returns who a request acts for: by its token, if it has one, else by its session."""
        try:
            user = self._user(visit)
        except UsersFileError as error:
            logger.error("nobody is let in", extra={"reason": str(error)})
            return Stranger(503, "The file of users cannot be used; the log of the server says why")
        if user is None:
            return Stranger(
                401, "This request needs a token of a user", {"WWW-Authenticate": "Bearer"}, may_log_in=True
            )
        return Actor(user.name, user.role, WEB, visit.address or None)

    def _user(self, visit: Visit) -> User | None:
        users = self._file.users()
        if "authorization" in visit.headers:
            name, token = visit.credentials()
            return _with_token(users, name, token_hash(token))
        cookie = visit.cookie(COOKIE)
        user = users.get((cookie and self.sessions.name_in(cookie)) or "")
        return user if user is not None and self.sessions.is_of(cookie, user) else None

    def log_in(self, name: str, password: str) -> User | None:
        """Returns the user of this name and password. Takes as long for a name that nobody has."""
        user = self._file.users().get(name)
        stored = None if user is None else user.password
        is_right = verifies(password, stored or nobody())
        return user if is_right and stored else None


def _with_token(users: Mapping[str, User], name: str, given: str) -> User | None:
    """Returns the user with the token of this hash; with a name only that one. Each is compared in the same time."""
    found = None
    for user in users.values():
        for known in user.tokens.values():
            if hmac.compare_digest(known.encode(), given.encode()) and name in ("", user.name):
                found = user
    return found


class ProxyAccess:
    """A proxy that has checked who it is, and says so in a header; from other addresses nobody is let in."""

    def __init__(
        self,
        user_header: str,
        role_header: str | None = None,
        roles: Mapping[str, Role] | None = None,
        proxies: Sequence[Network] = LOOPBACK,
        file: UsersFile | None = None,
    ) -> None:
        self.proxies = proxies
        self.is_guarded = True
        self._user_header = user_header
        self._role_header = role_header
        self._roles = {role.label: role for role in Role} if roles is None else roles
        self._file = file

    def admit(self, visit: Visit) -> Actor | Stranger:
        """Returns who a request acts for."""
        if not is_in(visit.peer, self.proxies):
            return Stranger(403, "Requests must come through the proxy; --proxy-from says which addresses it has")
        names = visit.headers.getlist(self._user_header)
        if len(names) != 1 or not NAME.fullmatch(names[0]):
            return Stranger(401, f"The proxy must say who this is in one header {self._user_header}")
        try:
            role = self._role(names[0], visit)
        except UsersFileError as error:
            logger.error("nobody is let in", extra={"reason": str(error)})
            return Stranger(503, "The file of users cannot be used; the log of the server says why")
        return Actor(names[0], role, WEB, visit.address or None)

    def _role(self, name: str, visit: Visit) -> Role:
        """Returns the highest role that the proxy gives, else that of the file; a viewer if neither knows better."""
        if self._role_header is not None:
            given = [part.strip() for line in visit.headers.getlist(self._role_header) for part in line.split(",")]
            return max((self._roles[one] for one in given if one in self._roles), default=Role.VIEWER)
        user = None if self._file is None else self._file.users().get(name)
        return Role.VIEWER if user is None else user.role
