"""Copies documents by their bytes, with other ids and dates: much faster than the product writes them."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from bson import CodecOptions, ObjectId
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.write_concern import WriteConcern

RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)

BATCH = 10_000

_MARK = 0x0123456789ABCD00  #: a date that stands for one that is filled in

_NUMBERS = itertools.count(1)  #: so that no two ids are equal


class Stamp:
    """A document of which copies are made. Dates keep their distances; those that are far off stay."""

    def __init__(self, document: Mapping[str, Any], **others: Any) -> None:
        shown = {**document, **others, "_id": ObjectId()}
        created = shown["created"]
        dates = {
            name: value for name, value in shown.items() if isinstance(value, datetime) and value.year < 9000
        }  # `at` of parked jobs
        marks = {name: DatetimeMS(_MARK + number) for number, name in enumerate(dates)}
        self._content = bytearray(bson.encode({**shown, **marks}))
        self._id_at = self._content.index(b"\x07_id\x00" + shown["_id"].binary) + 5
        self._places = [
            (self._content.index(struct.pack("<q", int(marks[name]))), (value - created) // timedelta(milliseconds=1))
            for name, value in dates.items()
        ]

    def copy(self, milliseconds: int) -> RawBSONDocument:
        """Makes a copy that was created then, a unix time."""
        content = self._content
        struct.pack_into(">IQ", content, self._id_at, milliseconds // 1000, next(_NUMBERS))
        for place, later in self._places:
            struct.pack_into("<q", content, place, milliseconds + later)
        return RawBSONDocument(bytes(content))


class Pattern:
    """Stamps in turns: each as often as it is there."""

    def __init__(self, *groups: tuple[int, Sequence[Stamp]]) -> None:
        self._turns = [itertools.cycle(stamps) for count, stamps in groups for _ in range(count)]

    def copies(self, numbers: range, total: int, days: float) -> Iterator[RawBSONDocument]:
        """Makes the copies of these numbers out of `total`, evenly over the last days."""
        now = round(datetime.now(UTC).timestamp() * 1000)
        long = round(days * 86_400_000)
        for number in numbers:
            yield next(self._turns[number % len(self._turns)]).copy(now - long + number * long // total)

    def fill(self, collection: Collection[dict[str, Any]], total: int, days: float) -> None:
        """Inserts so many copies, the oldest first."""
        raw = unconfirmed(collection)
        for start in range(0, total, BATCH):
            numbers = range(start, min(total, start + BATCH))
            raw.insert_many(self.copies(numbers, total, days), ordered=False)


def unconfirmed(collection: Collection[Any]) -> Collection[RawBSONDocument]:
    """The collection for documents of bytes, whose writes wait for no journal."""
    return collection.with_options(codec_options=RAW, write_concern=WriteConcern(w=1, j=False))
