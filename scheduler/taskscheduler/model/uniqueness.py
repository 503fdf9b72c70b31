"""Compares jobs: fingerprints of their data, and the keys of add_job_once and `dedupe`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import bson

from taskscheduler.model.payload import CODEC


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
    return f"data:{name}:{fingerprint(data)}"


def fingerprint(data: Any) -> str:
    """Returns the same text for data that MongoDB stores as equal, whatever the order of their keys."""
    return hashlib.sha256(bson.encode({"": canonical(data)}, codec_options=CODEC)).hexdigest()
