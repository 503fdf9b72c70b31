"""Who a request acts for, by the word of a proxy and by tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers
from tests.support.access import token_of, users_file
from tests.support.tables import table

from taskscheduler import InvalidOptionError
from taskscheduler.model.audit.actions import Role
from taskscheduler.model.audit.actors import Actor
from taskscheduler_daemon.web import ProxyAccess, SharedToken, UserAccess, UsersFile
from taskscheduler_daemon.web.http.access.policies import Stranger
from taskscheduler_daemon.web.http.access.visits import LOOPBACK, Visit, networks


def visit(peer: str = "127.0.0.1", headers: dict[str, str] | None = None, proxies: Any = ()) -> Visit:
    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    return Visit.of({"type": "http", "client": (peer, 1), "scheme": "http", "headers": raw}, proxies)


def told(found: Actor | Stranger) -> tuple[Any, ...]:
    return (found.name, found.role) if isinstance(found, Actor) else (found.code,)


@table(
    ("headers", "peer", "who"),
    [
        ({"X-Forwarded-User": "ana", "X-Groups": "dev, ops"}, "127.0.0.1", ("ana", Role.OPERATOR)),
        ({"X-Forwarded-User": "ana", "X-Groups": "ops,root"}, "::1", ("ana", Role.ADMIN)),
        ({"X-Forwarded-User": "ana", "X-Groups": "admin"}, "127.0.0.1", ("ana", Role.VIEWER)),
        ({"X-Forwarded-User": "ana"}, "127.0.0.1", ("ana", Role.VIEWER)),
        ({"X-Forwarded-User": "ana", "X-Groups": "root"}, "192.0.2.1", (403,)),
        ({"X-Groups": "root"}, "127.0.0.1", (401,)),
        ({"X-Forwarded-User": ""}, "127.0.0.1", (401,)),
        ({"X-Forwarded-User": "ana,ben"}, "127.0.0.1", (401,)),
    ],
)
def test_a_proxy_says_who_it_is(headers: dict[str, str], peer: str, who: tuple[Any, ...]) -> None:
    access = ProxyAccess("X-Forwarded-User", "X-Groups", {"ops": Role.OPERATOR, "root": Role.ADMIN})
    assert told(access.admit(visit(peer, headers))) == who


def test_two_headers_of_a_user_are_refused() -> None:
    raw = [(b"x-forwarded-user", b"ana"), (b"x-forwarded-user", b"ada")]
    given = Visit("127.0.0.1", "", False, Headers(raw=raw))
    assert told(ProxyAccess("X-Forwarded-User").admit(given)) == (401,)


def test_without_a_header_for_roles_the_file_says_them(tmp_path: Path) -> None:
    access = ProxyAccess("X-User", file=UsersFile(users_file(tmp_path)))
    roles = [told(access.admit(visit(headers={"X-User": name}))) for name in ("otto", "eve")]
    assert roles == [("otto", Role.OPERATOR), ("eve", Role.VIEWER)]


def test_a_token_belongs_to_its_user(tmp_path: Path) -> None:
    access = UserAccess(UsersFile(users_file(tmp_path)))
    given = token_of("otto").decode()
    assert told(access.admit(visit(headers={"Authorization": f"Bearer {given}"}))) == ("otto", Role.OPERATOR)
    for wrong in ("", "Bearer", f"Bearer {given}x", f"Digest {given}"):
        assert told(access.admit(visit(headers={"Authorization": wrong}))) == (401,)


def test_a_name_beside_a_shared_token_is_told_from_one_that_was_checked() -> None:
    assert told(SharedToken(None).admit(visit())) == ("anyone", Role.ADMIN)
    basic = {"Authorization": "Basic YW5hOnMzY3JldA=="}  # ana:s3cret
    assert told(SharedToken("s3cret").admit(visit(headers=basic))) == ("ana (shared token)", Role.ADMIN)
    assert told(SharedToken("other").admit(visit(headers=basic))) == (401,)


@table(
    ("peer", "forwarded", "address"),
    [
        ("127.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", "6.6.6.6, 192.0.2.7, 10.0.0.9", "192.0.2.7"),
        ("192.0.2.9", "6.6.6.6", "192.0.2.9"),
        ("127.0.0.1", "", "127.0.0.1"),
    ],
)
def test_only_proxies_that_are_trusted_say_the_address(peer: str, forwarded: str, address: str) -> None:
    proxies = [*LOOPBACK, *networks("x", ["10.0.0.0/8"])]
    assert visit(peer, {"X-Forwarded-For": forwarded} if forwarded else {}, proxies).address == address


def test_wrong_addresses_are_refused() -> None:
    with pytest.raises(InvalidOptionError, match="--proxy-from takes addresses such as"):
        networks("--proxy-from", ["the proxy"])
