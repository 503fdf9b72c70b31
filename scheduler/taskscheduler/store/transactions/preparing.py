"""Makes indexes that an operation in a transaction needs, apart from it.

The server builds no index on a collection while an open transaction has written to it. Such a transaction has to begin
again: the index is built when it has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from typing import TypeVar

from taskscheduler.model.document import Document
from taskscheduler.store.control.sequences import SequenceStore
from taskscheduler.store.transactions.sessions import conflict

T = TypeVar("T")

_PATIENCE = 1.0  #: seconds for which an index is waited for


def apart(make: Callable[[], T], what: str) -> T:
    """Calls a function that makes indexes in a thread, and returns its result. After a second this raises `conflict`.

    The thread goes on. The driver repeats the transaction, which then finds the indexes. `what`: what needs them.
    """
    thread = ThreadPoolExecutor(1, "taskscheduler-indexes")
    try:
        return thread.submit(make).result(_PATIENCE)
    except LateError:
        raise conflict(f"the indexes of {what} are not built before the transaction has ended") from None
    finally:
        thread.shutdown(wait=False)


def prepare_sequences(sequences: SequenceStore, documents: Iterable[Document]) -> None:
    """Makes what the first sequence of a database needs, if one of these jobs belongs to a sequence; see `apart`."""
    if not sequences.is_ensured and any("sequence" in document for document in documents):
        apart(sequences.ensure, "the first sequence")
