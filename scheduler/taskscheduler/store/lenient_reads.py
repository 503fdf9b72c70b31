"""Reads documents so that one which cannot be decoded does not hide the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection

from taskscheduler.model import lenient
from taskscheduler.model.document import Document
from taskscheduler.model.payload import CODEC

RAW: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument,
    tz_aware=True,
    uuid_representation=CODEC.uuid_representation,
    datetime_conversion=CODEC.datetime_conversion,
)


def undecoded(collection: Collection[Document]) -> Collection[RawBSONDocument]:
    """Returns a collection whose documents are decoded by `decoded`, each for itself."""
    return collection.with_options(codec_options=RAW)


def decoded(document: RawBSONDocument | None) -> Document | None:
    """Decodes a document that was read from an undecoded collection."""
    return None if document is None else lenient.decode(bytes(document.raw))


def each(documents: Iterable[RawBSONDocument]) -> Iterator[Document]:
    """Decodes documents that were read from an undecoded collection, as they come."""
    return (lenient.decode(bytes(document.raw)) for document in documents)


def read(collection: Collection[Document], query: Callable[[Collection[Any]], Iterable[Any]]) -> list[Document]:
    """Returns what a query finds; it is asked again, document by document, if one cannot be decoded."""
    try:
        return list(query(collection))
    except BSONError:
        return list(each(query(undecoded(collection))))
