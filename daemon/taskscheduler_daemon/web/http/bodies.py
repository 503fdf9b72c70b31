"""Reads request bodies up to a limit, and decodes forms and JSON."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any
from urllib.parse import parse_qs

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from taskscheduler.operations.audit.acting import explain
from taskscheduler_daemon.web.http.bad_input import refusing_bad_input
from taskscheduler_daemon.web.http.context import context_of

_FORM_BYTES = 10_000

_READ_TIMEOUT = 30.0  #: seconds in which a whole request must arrive


async def body_of(request: Request) -> bytes:
    """Returns the body of a request that adds a job; answers 413 if it is larger than any job can be."""
    return await _read(request, context_of(request).most_bytes)


async def form_of(request: Request) -> dict[str, str]:
    """Returns the fields of a small form, each with its last value; its `reason` is that of the action."""
    text = (await _read(request, _FORM_BYTES)).decode("utf-8", "replace")
    try:
        fields = {name: values[-1] for name, values in parse_qs(text, max_num_fields=20).items()}
    except ValueError:
        raise HTTPException(400, "Malformed form") from None
    if fields.get("reason"):
        with refusing_bad_input():
            explain(fields["reason"])
    return fields


async def _read(request: Request, most: int) -> bytes:
    read = bytearray()
    try:
        async with asyncio.timeout(_READ_TIMEOUT):
            async for part in request.stream():
                read += part
                if len(read) > most:
                    raise HTTPException(413, f"The request has more than {most} bytes")
    except ClientDisconnect:
        raise HTTPException(400, "The client disconnected") from None  # nobody reads it, but it is not an error of ours
    except TimeoutError:
        raise HTTPException(408, f"The request took longer than {_READ_TIMEOUT:g} seconds to arrive") from None
    return bytes(read)


def json_object(body: bytes) -> dict[str, Any]:
    """Returns the JSON object in a body; answers 400 for anything else."""
    try:
        value = json.loads(body, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise HTTPException(400, "Malformed JSON: it must be an object")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):  # 1e999 is valid JSON, but infinite
        raise ValueError(f"{text} is out of range")
    return value
