"""Compares jobs: fingerprints of their data, and the keys of add_job_once, `dedupe` and windows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from taskscheduler.model.payload import UNENCODABLE, encoded, stored_form


def canonical(value: Any) -> Any:
    """Returns `value` with the keys of every mapping in order, so that equal data give equal bytes."""
    if isinstance(value, Mapping):
        return {key: canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return value


def once_key(name: str, data: Any, ignore_data: bool) -> str:
    """Returns the key that equal jobs share for add_job_once: the name and, unless `ignore_data`, the data."""
    if ignore_data:
        return f"class:{name}"
    return f"data:{name}:{fingerprint(data, f'the data of job {name}')}"


def shared_key(name: str, data: Any, ignore_data: bool, unique_key: str | None) -> str:
    """Returns the key that equal jobs share for `dedupe`, `unique_for` and `debounce`."""
    return once_key(name, data, ignore_data) if unique_key is None else f"key:{name}:{fingerprint(unique_key)}"


def fingerprint(data: Any, what: str = "the data") -> str:
    """Returns the same text for data that MongoDB stores as equal, whatever the order of their keys.

    InvalidDataError if they cannot be stored.
    """
    try:
        raw = encoded(canonical(data))
    except UNENCODABLE:
        raw = encoded(canonical(stored_form(what, "data", data)))
    return hashlib.sha256(raw).hexdigest()
