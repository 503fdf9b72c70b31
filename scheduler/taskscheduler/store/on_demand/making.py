"""Makes the indexes that are made on demand, and reads by them while they may not be there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pymongo.collection import Collection as MongoCollection
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler.model.document import Document
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.driver_errors import NoIndexAllowedError, is_missing_index, is_not_allowed
from taskscheduler.store.indexes.definitions import ON_DEMAND, asked_for, needed_by
from taskscheduler.store.lenient_reads import read
from taskscheduler.store.resumable.tries import tries
from taskscheduler.store.schema import ensure_indexes, made

#: what needs an index, for people
_CAPABILITIES: Mapping[str, str] = {
    "force": "the option force_spawn",
    "async": "an async job",
    "expires": "the option start_by or retry_for",
    "once": "add_job_once",
    "dedupe": "the option dedupe or debounce",
    "tags": "the option tags",
    "tracked": "a tracked program",
    "parent": "the option parent",
    "series": "the option interval",
    "schedule": "a run of a schedule",
    "service": "a service",
}


class OnDemandIndexes:
    """The indexes on demand of one database. Each is made before the first job that is in it."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        self._jobs: MongoCollection[Document] = database[options.job_store]
        self._clock = clock
        self.known: frozenset[str] = frozenset()  #: those that are there, as far as this process knows

    def learn(self, there: Iterable[str]) -> None:
        """Notes the names of indexes that are there; others may be among them."""
        self.known |= ON_DEMAND.keys() & set(there)

    def before(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Makes the indexes that these jobs need, unless they are there. To call before the jobs are stored.

        Repeats it through elections. NoIndexAllowedError if this user may not do that.
        """
        lacking = set[str]()
        for document in documents:
            if needed := needed_by(document):
                lacking |= needed - self.known
        if lacking:
            self.make(lacking)  # at once, since each build reads all jobs

    def make(self, names: Collection[str]) -> None:
        """Makes these indexes, unless they are there; see `before`."""
        if lacking := [name for name in names if name not in self.known]:
            self._make(sorted(lacking))

    def _make(self, names: list[str]) -> None:
        for earlier in tries(self._clock):
            try:
                ensure_indexes(self._jobs.database, self._jobs.name, [ON_DEMAND[name] for name in names])
            except PyMongoError as error:
                if is_not_allowed(error):
                    raise _refused(names, error) from error
                earlier.note(error)
            else:
                self.learn(names)
                return

    def read(self, name: str, query: Callable[[MongoCollection[Any]], Iterable[Any]]) -> list[Document]:
        """Returns what a query finds that names this index as its hint; nothing if nobody has needed the index yet.

        OperationFailure if the index has been there: somebody has dropped it, and nodes make it again.
        """
        found: list[Document] = []
        with self.if_there(name):
            found += read(self._jobs, query)
        return found

    @contextmanager
    def if_there(self, name: str) -> Iterator[None]:
        """Around a command that names this index as its hint: does nothing if nobody has needed the index yet.

        Another thread may make it while the command is on its way: what counts is what was known before.
        """
        was_known = name in self.known
        try:
            yield
        except OperationFailure as error:
            if was_known or not is_missing_index(error):
                raise

    def exclude(self, query: Mapping[str, Any]) -> bool:
        """Whether no job can match, since nobody has needed an index that each of them would be in.

        It asks the server only if an index is not known to be there.
        """
        names = asked_for(query) - self.known
        if names:
            self.learn(made(self._jobs, self._jobs.index_information()))
        return not names <= self.known


def _refused(names: list[str], error: PyMongoError) -> NoIndexAllowedError:
    uses = " and ".join(_CAPABILITIES.get(name, f"the index {name}") for name in names)
    indexes = "the index " + names[0] if len(names) == 1 else "the indexes " + ", ".join(names)
    return NoIndexAllowedError(
        f"nobody has used {uses} in this database yet: that needs {indexes}, which MongoDB does not let this user "
        "make; as a user with the role taskscheduler_setup, run once: taskscheduler migrate --all-indexes",
        error,
    )
