"""Names jobs by a text, also those whose id somebody else chose: it may be any value that MongoDB takes as one."""

from __future__ import annotations

import json
from typing import Any

from bson import ObjectId, json_util

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model import lenient
from taskscheduler.model.checks import as_object_id
from taskscheduler.model.payload import CODEC, UNENCODABLE

_OPTIONS = json_util.RELAXED_JSON_OPTIONS.with_options(
    tz_aware=True,
    uuid_representation=CODEC.uuid_representation,
    datetime_conversion=CODEC.datetime_conversion,
)

#: for an integer, since its digits alone may also be the end of an ObjectId
_WITH_TYPES = json_util.CANONICAL_JSON_OPTIONS

#: the name of the bytes of a document with the id, where extended JSON has no form for it: a text that is not UTF-8
_BYTES = "$bson"

#: what the reader of extended JSON raises
_UNREADABLE = (*UNENCODABLE, ArithmeticError, LookupError, AttributeError)


def id_text(job_id: Any) -> str:
    """Returns the text that names a job: 24 hexadecimal digits, or extended JSON of an id that is no ObjectId.

    Such JSON is one line of ASCII without a slash, so that it can be a part of an address.
    """
    return str(job_id) if isinstance(job_id, ObjectId) else _extended_json(job_id)


def id_of(text: str) -> Any:
    """Returns the id that such a text names; InvalidOptionError if it names none."""
    job_id = as_object_id(text)
    if isinstance(job_id, ObjectId):
        return job_id
    try:
        job_id = _read(text)
        lenient.encoded({"_id": job_id})
    except _UNREADABLE:
        raise InvalidOptionError(
            f"a job id must be an ObjectId, its 24 hexadecimal digits, or extended JSON of another id, such as "
            f"'\"report-7\"', not {text!r:.60}"
        ) from None
    return job_id


def _extended_json(job_id: Any) -> str:
    is_integer = isinstance(job_id, int) and not isinstance(job_id, bool)
    options = _WITH_TYPES if is_integer else _OPTIONS
    try:
        text = json_util.dumps(job_id, json_options=options).replace("/", r"\u002f").replace("\x7f", r"\u007f")
        if not lenient.has_unreadable(job_id) and _read(text) == job_id:
            return text
    except _UNREADABLE:
        pass
    return json.dumps({_BYTES: lenient.encoded({"_id": job_id}).hex()})


def _read(text: str) -> Any:
    value = json_util.loads(text, json_options=_OPTIONS)
    if isinstance(value, dict) and _BYTES in value:
        return lenient.decode(bytes.fromhex(value[_BYTES]))["_id"]
    return value
