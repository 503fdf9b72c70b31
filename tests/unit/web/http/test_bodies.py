"""Which bodies are read, and what they are decoded to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request
from starlette.types import Message
from tests.support.tables import table

from taskscheduler_daemon.web.http import bodies
from taskscheduler_daemon.web.http.bodies import body_of, form_of, json_object


class FakeContext:
    most_bytes = 10


def request(parts: Iterable[bytes], *, disconnects: bool = False) -> Request:
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.disconnect"} if disconnects else {"type": "http.request", "body": b""})

    async def receive() -> Message:
        return messages.pop(0)

    app = FastAPI()
    app.state.context = FakeContext()
    return Request({"type": "http", "method": "POST", "headers": [], "app": app}, receive)


def refusal(read: Any) -> tuple[int, str]:
    with pytest.raises(HTTPException) as raised:
        asyncio.run(read)
    return raised.value.status_code, raised.value.detail


def test_a_body_is_read_up_to_the_limit_of_the_context() -> None:
    assert asyncio.run(body_of(request([b"12345", b"67890"]))) == b"1234567890"
    assert refusal(body_of(request([b"12345", b"678901"]))) == (413, "The request has more than 10 bytes")


def test_a_client_that_disconnects_is_no_technical_error() -> None:
    assert refusal(body_of(request([b"12"], disconnects=True))) == (400, "The client disconnected")


def test_a_slow_client_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_READ_TIMEOUT", 0.01)

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {}

    slow = request([])
    slow._receive = receive
    assert refusal(body_of(slow)) == (408, "The request took longer than 0.01 seconds to arrive")


def test_a_field_of_a_form_has_its_last_value() -> None:
    assert asyncio.run(form_of(request([b"csrf=a&csrf=b&x=%ff&y="]))) == {"csrf": "b", "x": "\ufffd"}


@pytest.mark.parametrize(("form", "code"), [("&".join(f"f{n}=1" for n in range(21)), 400), ("x" * 10_001, 413)])
def test_a_form_has_limits(form: str, code: int) -> None:
    assert refusal(form_of(request([form.encode()])))[0] == code


def test_json_must_be_an_object() -> None:
    assert json_object('{"a": [1.5, "ö", null]}'.encode()) == {"a": [1.5, "ö", None]}


@table(
    "text",
    ["", "[]", "1", "null", '"x"', "{", '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', "[" * 100_000, "\xff"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(HTTPException, match="Malformed JSON") as raised:
        json_object(text.encode("latin-1"))
    assert raised.value.status_code == 400
