"""Answers 400 for values of a request that are wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from fastapi import HTTPException

from taskscheduler.errors import InvalidDataError, InvalidJobError, InvalidOptionError
from taskscheduler_daemon.web.http.context import WebContext

ECHO = 200  #: characters of a wrong value that an error repeats


@contextmanager
def refusing_bad_input() -> Iterator[None]:
    """Around a call with values of a request: answers 400 with the reason if the scheduler refuses them."""
    try:
        yield
    except (InvalidDataError, InvalidJobError, InvalidOptionError) as error:
        raise HTTPException(400, str(error)) from error


def only_known(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuses unknown names, as a filter with a wrong name would list everything."""
    for name in given:
        if name not in known:
            raise HTTPException(400, f'Unknown "{name:.{ECHO}}"; known are {", ".join(known)}')


def check_registered(context: WebContext, name: str) -> None:
    """Refuses the name of a job that the modules of --jobs do not register: nothing is imported for a request."""
    if name not in context.jobs:
        raise HTTPException(400, f'Job "{name:.{ECHO}}" is not registered by the modules of --jobs')
