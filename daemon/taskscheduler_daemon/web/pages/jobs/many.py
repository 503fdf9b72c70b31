"""What people do with many jobs at once: with those they have selected, or with all that match a filter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from taskscheduler.facade.selections import Selection
from taskscheduler.model.filters.durations import TimeError, parse_duration
from taskscheduler.model.filters.expression import Filter, Term
from taskscheduler.model.filters.values import Value
from taskscheduler.operations.selections.result import SelectionResult
from taskscheduler_daemon.presentation.text import more_than, plural
from taskscheduler_daemon.web.http.bad_input import refusing_bad_input
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.pages.filters import JobFilter
from taskscheduler_daemon.web.pages.questions import REASON, Field, Form, Question, ask, checked
from taskscheduler_daemon.web.pages.templates import page
from taskscheduler_daemon.web.pages.truncate import line
from taskscheduler_daemon.web.pages.view_models import Row

AT_ONCE = 10_000  #: jobs that one request changes; the page offers to go on with the others

LOOKED_AT = 1000  #: jobs that the question counts, so that it is there at once

MOST_SELECTED = 500

_SHOWN = 3

_PATH = "jobs/many"

_KEYS = {"job": "class", "status": "status", "queue": "queue", "tag": "tag", "kind": "kind", "schedule": "schedule"}

router = APIRouter(include_in_schema=False)


class Verb(NamedTuple):
    """What can be done with many jobs."""

    name: str
    done: str  #: in the sentence that says what happened
    warning: str
    is_danger: bool = True


VERBS = {
    "retry": Verb(
        "retry",
        "queued",
        "Those that have ended run once more with the same data. Others are left out, and so is a job whose place "
        "another one has taken.",
        False,
    ),
    "cancel": Verb(
        "cancel",
        "cancelled",
        "Waiting jobs never start. Running ones are killed at once, with everything they started. Those that have "
        "ended are left out.",
    ),
    "delete": Verb(
        "delete",
        "deleted",
        "They are removed with their data, results and attempts. Those that have not ended are cancelled first. This "
        "cannot be undone.",
    ),
}

_SPREAD = Field("spread", "Spread the starts over how long? Empty: all at once.", "60s, 10m")


class Wanted(NamedTuple):
    """Which jobs, and what to do with them."""

    verb: Verb
    where: str  #: an expression of the filter language
    back: str  #: the list that it was asked on, below the root


def expression_of(wanted: JobFilter) -> str:
    """Returns the filter as one expression."""
    terms = [str(Term(_KEYS[name], "", (Value(value, quoted=True),))) for name, value in _fields(wanted).items()]
    return " ".join([*terms, *([wanted.q] if wanted.q.strip() else [])])


def _fields(wanted: JobFilter) -> Mapping[str, str]:
    return {name: value for name, value in wanted.given.items() if name != "q"}


def asked_for(
    wanted: Annotated[JobFilter, Depends()],
    selected: str = "",
    all_: Annotated[str, Query(alias="all")] = "",
    ids: Annotated[list[str] | None, Query(alias="id")] = None,
) -> Wanted:
    """Returns what the list asks for; answers 400 if no job is selected, 404 for another verb."""
    verb = VERBS.get(selected or all_)
    if verb is None:
        raise HTTPException(404, "There is no such page")
    query = urlencode(wanted.given, errors="replace")
    back = "jobs" + (f"?{query}" if query else "")
    if all_:
        return Wanted(verb, expression_of(wanted), back)
    if not ids:
        raise HTTPException(400, "No job is selected; go back and select some")
    if len(ids) > MOST_SELECTED:
        raise HTTPException(400, f"Select {MOST_SELECTED} jobs at most, or all that match")
    return Wanted(verb, str(Term("id", "", tuple(Value(one, quoted=False) for one in ids))), back)


@router.get("/jobs/many")
def confirm(request: Request, wanted: Annotated[Wanted, Depends(asked_for)]) -> Response:
    """Asks before many jobs are changed: says how many there are, and names the first."""
    verb, context = wanted.verb, context_of(request)
    selection = _selection(context, wanted.where)
    with refusing_bad_input():
        counted = _result(selection, verb.name, {"dry_run": True, "limit": LOOKED_AT + 1})
    some = f"{more_than(LOOKED_AT)} jobs" if counted.total > LOOKED_AT else plural(counted.count, "job")
    return ask(
        request,
        "jobs",
        Question(
            title=f"{verb.name.capitalize()} {some}?",
            subject=line(wanted.where, 500),
            details=tuple(_details(counted, selection)),
            warning=verb.warning,
            hindrance="" if counted.count else f"There is nothing to {verb.name}.",
            hidden={"do": verb.name, "where": wanted.where, "back": wanted.back},
            fields=(*([_SPREAD] if verb.name == "retry" else []), REASON),
            action=_PATH,
            button=f"{verb.name.capitalize()} {some}",
            back=wanted.back,
            is_danger=verb.is_danger,
            signed=_signed(verb.name, wanted.where, wanted.back),
        ),
    )


def _signed(verb: str, where: str, back: str) -> str:
    return f"{_PATH} {verb} {back} {where}"


def _selection(context: WebContext, where: str) -> Selection:
    with refusing_bad_input():
        return context.scheduler.select(where, everything=not Filter.parse(where).terms)


def _details(counted: SelectionResult, selection: Selection) -> list[str]:
    """Returns the first of them, how many are left out and why, and that it goes on in parts."""
    found = []
    for job, _ in zip(selection, range(_SHOWN), strict=False):
        found.append(f"{line(job.job, 80)} {job.id_text} ({job.status.label})")
    more = counted.total - len(found)
    texts = ["Such as: " + "; ".join(found) + (" …" if more > 0 else "")] if found else []
    texts += [f"{number} are left out: {line(why, 200)}" for why, number in counted.reasons.most_common(5)]
    if counted.total > min(AT_ONCE, LOOKED_AT):
        texts.append(f"This changes the {AT_ONCE} oldest at most; then you can go on with the others.")
    return texts


def _result(selection: Selection, verb: str, given: Mapping[str, Any]) -> SelectionResult:
    act = {"retry": selection.retry, "cancel": selection.cancel, "delete": selection.delete}[verb]
    return act(**given)


@router.post("/jobs/many")
def act(request: Request, form: Form) -> Response:
    """Changes the jobs, and says how many, and why others were left out."""
    name, where, back = (form.get(part, "") for part in ("do", "where", "back"))
    context = checked(request, form, _signed(name, where, back))
    verb = VERBS[name]
    given: dict[str, Any] = {"reason": form.get("reason") or None, "limit": AT_ONCE}
    if name == "retry" and form.get("spread"):
        given["spread"] = _seconds(form["spread"])
    selection = _selection(context, where)
    with refusing_bad_input():
        result = _result(selection, name, given)
    again = urlencode({"all": name, "q": where}, errors="replace")
    return page(
        context,
        "many_done.html",
        place="jobs",
        verb=verb,
        where=line(where, 500),
        result=result_view(result, verb),
        back=back,
        again=again if result.total >= AT_ONCE else "",
    )


def _seconds(text: str) -> float | int:
    try:
        return parse_duration(text)
    except (TimeError, OverflowError) as error:
        raise HTTPException(400, line(error, 300)) from None


def result_view(result: SelectionResult, verb: Verb) -> Row:
    """Returns what happened, in words."""
    left_out = f", {result.skipped} left out" if result.skipped else ""
    return {
        "text": f"{plural(result.count, 'job')} {verb.done}{left_out}",
        "reasons": [(line(why, 300), number) for why, number in result.reasons.most_common(20)],
        "level": "well" if result.count else "warn",
    }
