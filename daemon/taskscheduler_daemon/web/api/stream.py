"""The web service that goes on: `GET /api/v1/stream` sends what changes as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic.json_schema import SkipJsonSchema

from taskscheduler.event_names import FLOW_EVENTS, PROGRESS, STATUS_EVENTS
from taskscheduler_daemon.web.api.parameters import CHECKED
from taskscheduler_daemon.web.api.records import plain
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.http.endless import endless
from taskscheduler_daemon.web.http.problems import ProblemError, problems
from taskscheduler_daemon.web.live.changes import FLOW, JOB, Change, latest
from taskscheduler_daemon.web.live.feed import Batch, FeedClosedError, Subscription, TooManySubscribersError

OPEN, LOST = "open", "gap"

EVENTS = (*STATUS_EVENTS.values(), PROGRESS, "flow_running", *FLOW_EVENTS.values())

_SIGN_OF_LIFE = 10.0  #: seconds between two signs of the place, with which a client that lost it would come back

_AGAIN_IN = 2000  #: milliseconds after which a client comes back

router = APIRouter(tags=["stream"], dependencies=CHECKED)

Text = str | SkipJsonSchema[None]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The changes that a client asked for; None: it did not say."""

    topics: frozenset[str]
    events: frozenset[str] | None
    ids: frozenset[str] | None
    queues: frozenset[str] | None
    classes: frozenset[str] | None
    flows: frozenset[str] | None

    def holds(self, change: Change) -> bool:
        """Whether it is one of them."""
        asked = (
            (self.events, change.event),
            (self.ids, change.id),
            (self.queues, change.queue),
            (self.classes, change.job),
            (self.flows, change.id if change.kind == FLOW else change.flow),
        )
        return change.kind in self.topics and all(wanted is None or value in wanted for wanted, value in asked)


def _names(given: str | None) -> frozenset[str] | None:
    return None if given is None else frozenset(given.split(","))


def _checked(given: str | None, known: tuple[str, ...], noun: str) -> frozenset[str] | None:
    wanted = _names(given)
    for name in wanted or ():
        if name not in known:
            raise ProblemError(400, f"unknown-{noun}", f'Unknown {noun} "{name:.200}"; there are {", ".join(known)}')
    return wanted


def _several(text: str) -> Any:
    return Query(description=f"{text}; several with commas", max_length=2000)


async def _subscription(
    request: Request,
    topics: Annotated[Text, _several("job or flow")] = None,
    events: Annotated[Text, _several("names of events, such as done or flow_failed")] = None,
    id: Annotated[Text, _several("ids of jobs or flows")] = None,
    queue: Annotated[Text, _several("queues of jobs")] = None,
    job: Annotated[Text, _several("classes of jobs, names of flows")] = None,
    flow: Annotated[Text, _several("flows, with their jobs")] = None,
    last_event_id: Annotated[Text, Header(description="the id of the last event that was received")] = None,
) -> AsyncIterator[Subscription]:
    """Subscribes to the changes that a client asks for, as long as it is there."""
    chosen = Chosen(
        topics=_checked(topics, (JOB, FLOW), "topic") or frozenset({JOB, FLOW}),
        events=_checked(events, EVENTS, "event"),
        ids=_names(id),
        queues=_names(queue),
        classes=_names(job),
        flows=_names(flow),
    )
    try:
        subscription = context_of(request).feed.subscribe(last_event_id, chosen)
    except TooManySubscribersError:
        raise ProblemError(503, "too-many-streams", "Too many clients follow changes at once; try later") from None
    except FeedClosedError:
        raise ProblemError(503, "stopping", "This server stops; come back") from None
    endless(request.scope)  # from here on, the server waits for as long as the client takes what comes
    with subscription:
        yield subscription


@router.get(
    "/api/v1/stream",
    response_class=EventSourceResponse,
    responses=problems(),
    summary="Follow changes",
)
async def stream(
    changes: Annotated[Subscription, Depends(_subscription)],
    coalesce: Annotated[
        float, Query(ge=0, le=60, description="seconds; of several changes of a job in this time, the last one is sent")
    ] = 0.0,
) -> AsyncIterator[ServerSentEvent]:
    """Sends changes of jobs and flows as they happen, each with an `id` to go on behind it.

    `open` is the first event; `gap` says that changes were lost, so read again what you show. Send the last id with
    the header Last-Event-ID, as browsers do, to miss nothing within the last seconds.
    """
    is_open = False
    try:
        while True:
            batch = await changes.next(_SIGN_OF_LIFE, max(0.05, coalesce))
            for event in _events(batch, is_open, coalesce > 0):
                yield event
            is_open = True
    except FeedClosedError:
        return


def _events(batch: Batch, is_open: bool, coalesced: bool) -> Iterator[ServerSentEvent]:
    """Returns a batch as events. An id without an event is for a client that loses its connection later."""
    if not is_open:
        yield ServerSentEvent(event=OPEN, raw_data=json.dumps({"resumed": not batch.lost}), retry=_AGAIN_IN)
    elif batch.lost:
        yield ServerSentEvent(event=LOST, raw_data="{}")
    found = latest(batch.changes) if coalesced else batch.changes
    for number, change in enumerate(found):
        # one write may be two changes: who comes back between them must get the second one
        is_half = number + 1 < len(found) and found[number + 1].token == change.token
        place = None if is_half else change.token
        yield ServerSentEvent(event=change.event, raw_data=json.dumps(_data(change)), id=place)
    if batch.token is not None and not (found and found[-1].token == batch.token):
        yield ServerSentEvent(id=batch.token)


def _data(change: Change) -> Any:
    facts = asdict(change)
    del facts["token"]
    return plain(facts)
