"""Databases for tests: a new one each time, of the embedded server or of one of your own, deleted at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any
from urllib.parse import quote

from bson import ObjectId

from taskscheduler import embedded
from taskscheduler.errors import InvalidOptionError
from taskscheduler.scheduler import Scheduler

_URI = re.compile(
    r"(?P<server>mongodb(?:\+srv)?://(?P<user>[^@/?]*@)?[^@/?]+)(?:/(?P<database>[^?]*))?(?:\?(?P<options>.*))?"
)


class FreshDatabases:
    """A server on which tests get databases of their own: the embedded one, or that of a URI.

    The database that the URI names is never touched. Raises EmbeddedServerError if the embedded server cannot be
    started, InvalidOptionError if the URI is none. Also a context manager, which releases the embedded server.
    """

    def __init__(self, uri: str | None = None) -> None:
        self._uri = uri
        if uri is not None:
            uri_of_database(uri, "test")
        self._embedded = embedded.acquire() if uri is None else None

    @contextmanager
    def scheduler(self, **options: Any) -> Iterator[Scheduler]:
        """Yields a scheduler on a new database, deleted at the end. Takes scheduler options."""
        name = f"test_{ObjectId()}"
        uri = uri_of_database(self._uri or "", name) if self._embedded is None else self._embedded.uri_of(name)
        with Scheduler(uri, options=options) as scheduler:
            try:
                yield scheduler
            finally:
                scheduler.store.drop()

    def __enter__(self) -> FreshDatabases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._embedded is not None:
            self._embedded.release()


@contextmanager
def fresh_scheduler(**options: Any) -> Iterator[Scheduler]:
    """Yields a scheduler on a new database of the embedded server, deleted at the end. Takes scheduler options."""
    with FreshDatabases() as databases, databases.scheduler(**options) as scheduler:
        yield scheduler


def uri_of_database(uri: str, name: str) -> str:
    """Returns the URI of another database of the same server. InvalidOptionError if it is no MongoDB URI.

    A user is looked up where the given URI says: in `authSource`, else in the database that it names.
    """
    found = _URI.fullmatch(uri)
    if found is None:
        # the URI may have a password
        raise InvalidOptionError(
            "the URI of a server for tests must be like mongodb://host:27017, with a user if needed"
        )
    options = found["options"] or ""
    if found["user"] and found["database"] and not re.search(r"(?:^|&)authSource=", options, re.IGNORECASE):
        options = "&".join(filter(None, [options, f"authSource={quote(found['database'], safe='')}"]))
    return f"{found['server']}/{name}{'?' if options else ''}{options}"
