"""Decodes stored documents, also those that the driver refuses: what it cannot decode becomes an Unreadable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from taskscheduler.model.document import Document
from taskscheduler.model.payload import CODEC
from taskscheduler.model.sound import is_text

_LONGEST_REASON = 200

_DOCUMENT, _ARRAY = 0x03, 0x04


class Unreadable(str):
    """Stands for a value that cannot be decoded, as a text that says why."""

    element: _Element


class _Element(NamedTuple):
    kind: int
    name: str
    value: bytes


class UnreadableDocument(dict[str, Any]):
    """A document with a value that cannot be decoded: its place, and the driver's reason."""

    place: str
    reason: str


def decode(raw: bytes) -> Document:
    """Decodes a document. One that the driver refuses becomes an UnreadableDocument; raises nothing."""
    try:
        document: Document = bson.decode(raw, CODEC)
        return document
    except (BSONError, RecursionError):
        return _decode_parts(raw)


def as_stored(query: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a query in which what could not be decoded stands as it is stored, so that the query finds it."""
    return RawBSONDocument(encoded(query)) if has_unreadable(query) else query


def has_unreadable(value: Any) -> bool:
    """Whether something in a decoded value could not be decoded."""
    if isinstance(value, dict):
        return any(map(has_unreadable, value.values()))
    return any(map(has_unreadable, value)) if type(value) is list else type(value) is Unreadable


def encoded(document: Mapping[str, Any]) -> bytes:
    """Returns the BSON of a document; what could not be decoded becomes what it was."""
    body = b"".join(_encoded_element(name, value) for name, value in document.items())
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


def _encoded_element(name: str, value: Any) -> bytes:
    if isinstance(value, Unreadable):
        kind, raw = value.element.kind, value.element.value
    elif isinstance(value, dict) and has_unreadable(value):
        kind, raw = _DOCUMENT, encoded(value)
    elif has_unreadable(value):
        kind, raw = _ARRAY, encoded({str(number): one for number, one in enumerate(value)})
    else:
        return bson.encode({name: value}, codec_options=CODEC)[4:-1]
    return bytes([kind]) + name.encode() + b"\0" + raw


def _decode_parts(raw: bytes) -> UnreadableDocument:
    """Decodes each value for itself, and notes the place of the first one that cannot be decoded."""
    document, faults = UnreadableDocument(), list[tuple[str, str]]()
    document.update(_parts(raw, "", faults))
    document.place, document.reason = faults[0] if faults else ("document", "its bytes are no valid BSON")
    return document


def _parts(raw: bytes, above: str, faults: list[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        for element in _elements(raw):
            found[element.name] = _value(element, above + element.name, faults)
    except (IndexError, ValueError, RecursionError) as error:
        faults.append((above.rstrip(".") or "document", f"its bytes are no valid BSON: {error}"))
    return found


def _value(element: _Element, place: str, faults: list[tuple[str, str]]) -> Any:
    body = bytes([element.kind]) + b"v\0" + element.value + b"\0"
    try:
        return bson.decode((len(body) + 4).to_bytes(4, "little") + body, CODEC)["v"]
    except (BSONError, RecursionError) as error:
        reason = str(error)[:_LONGEST_REASON]
    if element.kind in (_DOCUMENT, _ARRAY):
        known = len(faults)
        inner = _parts(element.value, place + ".", faults)
        if len(faults) > known:
            return inner if element.kind == _DOCUMENT else list(inner.values())
    faults.append((place, reason))
    unreadable = Unreadable(f"(unreadable: {reason})")
    unreadable.element = element
    return unreadable


def _elements(raw: bytes) -> Iterator[_Element]:
    """Splits the bytes of a document into its elements. Raises ValueError or IndexError where they are no BSON."""
    at = 4
    while raw[at]:
        kind, end = raw[at], raw.index(b"\0", at + 1)
        name = raw[at + 1 : end].decode(errors="replace")
        start = end + 1
        at = start + _size(kind, raw, start)
        yield _Element(kind, name, raw[start:at])


def _size(kind: int, raw: bytes, start: int) -> int:
    try:
        return _SIZES[kind](raw, start)
    except KeyError:
        raise ValueError(f"there is no type {kind:#x}") from None


def _fixed(size: int) -> Callable[[bytes, int], int]:
    return lambda _raw, _start: size


def _counted(extra: int) -> Callable[[bytes, int], int]:
    """Returns the size of a value that begins with a length, to which so many bytes are added."""
    return lambda raw, start: int.from_bytes(raw[start : start + 4], "little") + extra


def _two_texts(raw: bytes, start: int) -> int:
    return raw.index(b"\0", raw.index(b"\0", start) + 1) + 1 - start


_SIZES: dict[int, Callable[[bytes, int], int]] = {
    **dict.fromkeys((0x01, 0x09, 0x11, 0x12), _fixed(8)),
    **dict.fromkeys((0x06, 0x0A, 0x7F, 0xFF), _fixed(0)),
    **dict.fromkeys((0x02, 0x0D, 0x0E), _counted(4)),
    **dict.fromkeys((_DOCUMENT, _ARRAY, 0x0F), _counted(0)),
    0x05: _counted(5),
    0x07: _fixed(12),
    0x08: _fixed(1),
    0x0B: _two_texts,
    0x0C: _counted(16),
    0x10: _fixed(4),
    0x13: _fixed(16),
}


def smallest_name(value: Any, after: str) -> str | None:
    """Returns the name by which MongoDB found a stored value behind `after`: a list is found by its items."""
    names = [name for name in (value if isinstance(value, list) else [value]) if is_text(name)]
    return min((name for name in names if isinstance(name, Unreadable) or name > after), default=None)
