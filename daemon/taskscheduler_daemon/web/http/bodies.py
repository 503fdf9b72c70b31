"""Decides how much of a request is read, and how forms and JSON in it are understood."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any
from urllib.parse import parse_qs

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from taskscheduler_daemon.web.http.context import site_of

_FORM_BYTES = 10_000

_PATIENCE = 30.0  #: seconds in which a request must have come in


async def body_of(request: Request) -> bytes:
    """The body of a request that adds a job; 413 if it is larger than any job can be."""
    return await _read(request, site_of(request).most_bytes)


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a small form, each with its last value."""
    text = (await _read(request, _FORM_BYTES)).decode("utf-8", "replace")
    try:
        return {name: values[-1] for name, values in parse_qs(text, max_num_fields=20).items()}
    except ValueError:
        raise HTTPException(400, "Malformed form") from None


async def _read(request: Request, most: int) -> bytes:
    read = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for part in request.stream():
                read += part
                if len(read) > most:
                    raise HTTPException(413, f"More than {most} bytes")
    except ClientDisconnect:
        raise HTTPException(400, "The request broke off") from None  # nobody hears it, and nothing went wrong here
    except TimeoutError:
        raise HTTPException(408, f"Not all of the request came within {_PATIENCE:g} seconds") from None
    return bytes(read)


def json_object(body: bytes) -> dict[str, Any]:
    """The object that a body holds; 400 for anything else."""
    try:
        value = json.loads(body, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise HTTPException(400, "Malformed JSON: an object is needed")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):  # 1e999, which JSON has and no number is
        raise ValueError(f"{text} is out of range")
    return value
