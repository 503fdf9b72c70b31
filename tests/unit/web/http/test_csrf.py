"""The field of a form must match the cookie of the browser and the path of the form."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.support.tables import table

from taskscheduler_daemon.web.http.csrf import Csrf

CSRF = Csrf(b"key")


def test_a_browser_without_a_cookie_gets_a_new_one() -> None:
    first, second = CSRF.cookie(None), CSRF.cookie("")
    assert first != second
    assert min(len(first), len(second)) >= 32


def test_a_browser_keeps_its_cookie_unless_it_is_too_long() -> None:
    assert CSRF.cookie("mine") == "mine"
    assert CSRF.cookie("x" * 101) != "x" * 101


def test_the_field_of_a_form_matches_its_cookie_and_path() -> None:
    assert CSRF.matches("cookie", "id/cancel", CSRF.field("cookie", "id/cancel"))


@table(
    ("cookie", "path", "csrf"),
    [
        ("other", "id/cancel", CSRF),
        ("cookie", "id/delete", CSRF),
        ("cookie", "id/cancel", Csrf(b"another key")),
        ("cookie", "id/cancel", Csrf()),
        (None, "id/cancel", CSRF),
        ("", "id/cancel", CSRF),
    ],
)
def test_another_cookie_path_or_key_does_not_match(cookie: str | None, path: str, csrf: Csrf) -> None:
    assert not csrf.matches(cookie, path, CSRF.field("cookie", "id/cancel"))


def test_without_a_cookie_nothing_matches() -> None:
    assert not CSRF.matches("", "id/cancel", CSRF.field("", "id/cancel"))


@given(st.text(), st.text(), st.text())
def test_no_text_matches_or_fails(cookie: str, path: str, field: str) -> None:
    """Texts may be without a UTF-8 form."""
    assert not CSRF.matches(cookie + "\udcff", path, field + "\udcff")
