"""A session is a cookie that only this process can make, and that ends in time."""

from __future__ import annotations

from dataclasses import replace

from taskscheduler.clock import SystemClock
from taskscheduler.model.audit.actions import Role
from taskscheduler_daemon.web.http.access.sessions import LASTS, Sessions
from taskscheduler_daemon.web.http.access.users import User

ANA = User("ana", Role.OPERATOR, "scrypt$1")


class SetClock(SystemClock):
    time = 0.0

    def monotonic(self) -> float:
        return self.time


def test_a_session_names_its_user_until_it_ends() -> None:
    clock = SetClock()
    sessions = Sessions(clock)
    cookie = sessions.begin(ANA)
    assert sessions.name_in(cookie) == "ana"
    assert sessions.is_of(cookie, ANA)
    clock.time = LASTS + 1
    assert sessions.name_in(cookie) is None


def test_a_new_password_ends_it_and_a_new_role_does_not() -> None:
    sessions = Sessions(SetClock())
    cookie = sessions.begin(ANA)
    assert not sessions.is_of(cookie, replace(ANA, password="scrypt$2"))
    assert sessions.is_of(cookie, replace(ANA, role=Role.VIEWER))


def test_a_cookie_that_was_logged_out_is_of_no_use() -> None:
    sessions = Sessions(SetClock())
    cookie, other = sessions.begin(ANA), sessions.begin(ANA)
    sessions.end(cookie)
    assert (sessions.name_in(cookie), sessions.name_in(other)) == (None, "ana")


def test_a_cookie_of_others_is_none() -> None:
    sessions = Sessions(SetClock())
    cookie = sessions.begin(ANA)
    text, _, signature = cookie.partition(".")
    for wrong in ("", ".", cookie[:-1], f"x{cookie}", f"{text}.", f"{text}.é", f"{text}.{signature}x", "x" * 5000,
                  Sessions(SetClock()).begin(ANA)):  # fmt: skip
        assert sessions.name_in(wrong) is None, wrong
        sessions.end(wrong)
