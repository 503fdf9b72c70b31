"""Reads documents, and calculates with their dates, so that an odd one does not hide the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import AutoReconnect

from taskscheduler.model import lenient
from taskscheduler.model.checks import LONGEST
from taskscheduler.model.control.keys import FAR
from taskscheduler.model.document import Document
from taskscheduler.model.payload import CODEC

_SEARCHES_AT_ONCE = 100


class _OfNoType(TypeDecoder):
    """Decodes nothing: with some decoder the driver reads an error reply as a dict, not as an undecoded document.

    An error that is not a dict has no topology version for the driver. It then takes an old "not primary" for a new
    one, and no command finds a server until the next heartbeat, up to 10 seconds later.
    """

    bson_type = object

    def transform_bson(self, value: Any) -> Any:
        return value


RAW: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument,
    tz_aware=True,
    uuid_representation=CODEC.uuid_representation,
    datetime_conversion=CODEC.datetime_conversion,
    type_registry=TypeRegistry([_OfNoType()]),
)


_FEW = 100

ONLY_ID = {"_id": 1}


def _types_but(own: str) -> tuple[Mapping[str, Any], ...]:
    """Returns conditions for all values of another type than this one; each of them finds its own part of an index.

    A list is found by its items, and if it is empty.
    """
    names = "double string object binData objectId bool date regex dbPointer javascript int timestamp long decimal"
    others = [name for name in (*names.split(), "minKey", "maxKey") if name != own]
    return {"$type": others}, {"$in": [None, []]}


NO_TEXT, NO_DATE = _types_but("string"), _types_but("date")


def undecoded(collection: Collection[Document]) -> Collection[RawBSONDocument]:
    """Returns a collection whose documents are decoded by `decoded`, each for itself."""
    return collection.with_options(codec_options=RAW)


def decoded(document: RawBSONDocument | None) -> Document | None:
    """Decodes a document that was read from an undecoded collection."""
    return None if document is None else lenient.decode(bytes(document.raw))


def each(documents: Iterable[RawBSONDocument]) -> Iterator[Document]:
    """Decodes documents that were read from an undecoded collection, as they come."""
    return (lenient.decode(bytes(document.raw)) for document in documents)


@contextmanager
def readable_errors() -> Iterator[None]:
    """Around a `find_one_and_…` of an undecoded collection: raises AutoReconnect if the write was not confirmed.

    The driver adds labels to the error of the write concern as if it were a dict, and fails with AttributeError.
    """
    try:
        yield
    except AttributeError as error:
        raise AutoReconnect(
            "the server did not confirm the write; others of the replica set may not have it"
        ) from error


def change_one(
    collection: Collection[Document], query: Mapping[str, Any], change: Any, **options: Any
) -> Document | None:
    """Changes a document and returns it as `find_one_and_update` does; it may be one that cannot be decoded."""
    with readable_errors():
        return decoded(undecoded(collection).find_one_and_update(query, change, **options))


def read_one(collection: Collection[Document], query: Callable[[Collection[Any]], Any]) -> Document | None:
    """Returns the one document that a query finds; it is asked again if that cannot be decoded."""
    try:
        found: Document | None = query(collection)
        return found
    except BSONError:
        return decoded(query(undecoded(collection)))


def read(collection: Collection[Document], query: Callable[[Collection[Any]], Iterable[Any]]) -> list[Document]:
    """Returns what a query finds; it is asked again, document by document, if one cannot be decoded."""
    try:
        return list(query(collection))
    except BSONError:
        return list(each(query(undecoded(collection))))


def read_command(
    database: Database[Document], command: Document, codec: CodecOptions[Any] | None = None
) -> Mapping[str, Any]:
    """Returns the answer to a command that only reads; asks once more after a fault, as the driver does for a find."""
    try:
        return database.command(command, codec_options=codec)
    except AutoReconnect:
        return database.command(command, codec_options=codec)


def together(collection: Collection[Document], searches: Sequence[Sequence[Document]]) -> list[list[Document]]:
    """Returns the stages that do these searches, some in each question to the server; it answers in their order."""
    parts = [searches[start : start + _SEARCHES_AT_ONCE] for start in range(0, len(searches), _SEARCHES_AT_ONCE)]
    return [
        [*first, *({"$unionWith": {"coll": collection.name, "pipeline": [*other]}} for other in others)]
        for first, *others in parts
    ]


def read_together(collection: Collection[Document], searches: Sequence[Sequence[Document]]) -> list[Document]:
    """Returns what these searches find, one after the other, with one question to the server or a few.

    A search is the stages of a pipeline; it says in each document which search has found it.
    """
    found: list[Document] = []
    for stages in together(collection, searches):
        found += read(collection, partial(_aggregated, stages))
    return found


def _aggregated(stages: Sequence[Document], collection: Collection[Any]) -> Iterable[Any]:
    return collection.aggregate(list(stages))


def counting(number: int, query: Mapping[str, Any], most: int) -> list[Document]:
    """Returns a search that counts jobs up to `most`, as `jobs`, with this number as `_id`; none gives no document."""
    return [
        {"$match": query},
        {"$limit": most},
        {"$group": {"_id": {"$literal": number}, "jobs": {"$sum": 1}}},
    ]


def read_some(
    collection: Collection[Document], queries: Iterable[Mapping[str, Any]], fields: Mapping[str, Any], index: str
) -> list[Document]:
    """Returns a few documents that each of these queries finds by an index."""
    jobs, found = undecoded(collection), list[Document]()
    for query in queries:
        found += each(jobs.find(query, fields).hint(index).limit(_FEW))
    return found


def read_ids(collection: Collection[Document], query: Callable[[Collection[Any]], Iterable[Any]]) -> list[Any]:
    """Returns the ids of what a query with the projection ONLY_ID finds."""
    return [document["_id"] for document in read(collection, query)]


# -- expressions that fail for no document, whatever stands there and however far off a date is -----------------------

_FIRST = datetime(1, 1, 1, tzinfo=UTC)


def date_or(field: str, default: Any) -> Document:
    """Returns the date in a field; the default if there is none that one can calculate with."""
    is_date: Document = {"$eq": [{"$type": field}, "date"]}
    return {"$cond": [{"$and": [is_date, {"$gte": [field, _FIRST]}, {"$lte": [field, FAR]}]}, field, default]}


def seconds_until(field: str) -> Document:
    """Returns the seconds until the date in a field; 0 if there is none."""
    return {"$divide": [{"$subtract": [date_or(field, "$$NOW"), "$$NOW"]}, 1000]}


def seconds_since(field: str) -> Document:
    """Returns the seconds since the date in a field; 0 if there is none."""
    return {"$divide": [{"$subtract": ["$$NOW", date_or(field, "$$NOW")]}, 1000]}


def seconds_or_zero(field: str) -> Document:
    """Returns a duration; 0 if the field has none."""
    is_number: Document = {"$and": [{"$isNumber": field}, {"$gte": [field, 0]}, {"$lte": [field, LONGEST]}]}
    return {"$cond": [is_number, field, 0]}
