"""Files of users, and clients of the web application that act for one of them."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from functools import cache
from pathlib import Path

from starlette.testclient import TestClient

from taskscheduler import Scheduler
from taskscheduler.model.audit.actions import Role
from taskscheduler_daemon.web import UserAccess, UsersFile, create_app
from taskscheduler_daemon.web.http.access.passwords import token_hash
from taskscheduler_daemon.web.http.access.users import User, changing
from tests.support.web import HOME

PASSWORD = "correct horse"

NAMES = {"vera": Role.VIEWER, "otto": Role.OPERATOR, "ada": Role.ADMIN}


def users_file(folder: Path) -> Path:
    """A file with a user of each role, whose token is `token of NAME`."""
    path, password = folder / "users.json", _quickly_hashed(PASSWORD)
    with changing(path) as users:
        for name, role in NAMES.items():
            users[name] = User(name, role, password, {"test": token_hash(token_of(name))})
    return path


@cache
def _quickly_hashed(password: str) -> str:
    """A hash as a file holds it, but of little cost: one of the usual cost takes 0.2 s of CPU, at each login again."""
    salt, cost, block, parallel = b"salt", 16, 8, 1
    key = hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=parallel, dklen=32)
    return f"scrypt${cost}${block}${parallel}${b64encode(salt).decode()}${b64encode(key).decode()}"


def token_of(name: str) -> bytes:
    return f"token-of-{name}".encode()


def by_token(name: str) -> dict[str, str]:
    """The headers of a program that acts for a user."""
    return {"Authorization": f"Bearer {token_of(name).decode()}"}


def guarded(scheduler: Scheduler, folder: Path, root: str = "") -> TestClient:
    """A client of an application with these users, who is nobody yet."""
    app = create_app(scheduler, ["noop"], root=root, access=UserAccess(UsersFile(users_file(folder))))
    return TestClient(app, HOME, follow_redirects=False, raise_server_exceptions=False)


def csrf_in(text: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', text)
    assert found is not None
    return found[1]


def cookies(client: TestClient) -> dict[str, str]:
    """The header of a browser that sees another path than the server, since a proxy strips a part of it."""
    return {"Cookie": "; ".join(f"{one.name}={one.value}" for one in client.cookies.jar)}


def log_in(client: TestClient, name: str, password: str = PASSWORD, root: str = "", after: str = "") -> int:
    """Logs in as a person does; returns the code of the answer."""
    field = csrf_in(client.get(f"{root}/login").text)
    form = {"csrf": field, "name": name, "password": password, "next": after}
    headers = {"Sec-Fetch-Site": "same-origin", **cookies(client)}
    answer = client.post(f"{root}/login", data=form, headers=headers)
    return answer.status_code
