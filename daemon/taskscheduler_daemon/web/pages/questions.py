"""Asks before an action: one form for all of them, which is signed, so that only our own pages can send it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, HTTPException, Request, Response

from taskscheduler_daemon.web.http.bodies import form_of
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.http.csrf import COOKIE, FIELD
from taskscheduler_daemon.web.pages.templates import page

Form = Annotated[dict[str, str], Depends(form_of)]

_STALE = "This form is no longer valid; go back, reload the page and try again"


class Field(NamedTuple):
    """A text that the form asks for."""

    name: str
    label: str
    placeholder: str = ""


REASON = Field("reason", "Why? Everybody sees it.")


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked before an action. All texts are shortened and printable already."""

    title: str
    subject: str  #: what it is about, such as the name of a job
    action: str  #: where the form goes, below the root
    button: str
    back: str  #: where "No, go back" leads, below the root
    warning: str = ""  #: what will happen
    hindrance: str = ""  #: why it is not possible now; then there is no form
    status: Mapping[str, str] | None = None
    id: str = ""
    details: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    hidden: Mapping[str, str] = field(default_factory=dict)
    is_danger: bool = False  #: whether it destroys something
    signed: str = ""  #: what the form is signed for; else the action


def ask(request: Request, place: str, question: Question) -> Response:
    """Shows the question on a page of its own."""
    context = context_of(request)
    cookie = context.csrf.cookie(request.cookies.get(COOKIE))
    token = context.csrf.field(cookie, question.signed or question.action)
    answer = page(context, "question.html", place=place, question=question, field=FIELD, token=token)
    return with_cookie(answer, cookie, context.root)


def with_cookie(answer: Response, cookie: str, root: str) -> Response:
    """Adds the cookie that the fields of forms are signed for."""
    answer.set_cookie(COOKIE, cookie, path=root or "/", httponly=True, samesite="strict")
    return answer


def checked(request: Request, form: Mapping[str, str], signed: str) -> WebContext:
    """Returns the context of a form that comes from our page; answers 403 for any other."""
    context = context_of(request)
    if not context.csrf.matches(request.cookies.get(COOKIE), signed, form.get(FIELD, "")):
        raise HTTPException(403, _STALE)
    return context


def signed_page(
    request: Request, name: str, signed: Mapping[str, str], status_code: int = 200, **values: Any
) -> Response:
    """Renders a page with forms of its own: `tokens` has the field of each, by the name of what it is signed for."""
    context = context_of(request)
    cookie = context.csrf.cookie(request.cookies.get(COOKIE))
    tokens = {key: context.csrf.field(cookie, what) for key, what in signed.items()}
    return with_cookie(page(context, name, status_code, field=FIELD, tokens=tokens, **values), cookie, context.root)
