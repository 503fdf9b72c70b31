"""Jobs that are traced, in a module that sets up OpenTelemetry as an application does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from taskscheduler import Job, Retry, job

MEMORY = InMemorySpanExporter()

#: where a thread of the worker writes its spans, if a test says so
FILE = os.environ.get("TRACED_SPANS")


def set_up() -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(MEMORY))
    if FILE is not None:
        output = Path(FILE).open("a")  # noqa: SIM115 - as long as the worker lives
        # it never sends by itself, so what is in the file was sent as the worker ended
        never = 36_000_000
        provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(out=output), schedule_delay_millis=never))
    trace.set_tracer_provider(provider)
    return provider


if "TRACED" in os.environ:  # in a node, not in the test
    set_up()


def told(span: ReadableSpan) -> dict[str, Any]:
    """A span as a job can return it."""
    context = span.get_span_context()
    assert context is not None
    return {
        "name": span.name,
        "kind": span.kind.name,
        "attributes": dict(span.attributes or {}),
        "links": [f"{link.context.trace_id:032x}-{link.context.span_id:016x}" for link in span.links],
        "id": f"{context.trace_id:032x}-{context.span_id:016x}",
        "parent": None if span.parent is None else f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}",
        "status": span.status.status_code.name,
        "events": [event.name for event in span.events],
        "pid": os.getpid(),
    }


class Traced(Job):
    """Makes a span of its own; fails as often as its data say."""

    name = "traced"

    def start(self) -> int:
        with trace.get_tracer("app").start_as_current_span("own"):
            pass
        if self.attempt <= (self.data or {}).get("fails", 0):
            raise Retry(after=0, reason="not yet") if (self.data or {}).get("retry") else RuntimeError("not yet")
        return os.getpid()


@job(name="traced-async")
async def traced_async() -> int:
    with trace.get_tracer("app").start_as_current_span("own"):
        return os.getpid()


@job(name="spans")
def spans() -> list[dict[str, Any]]:
    """The spans that have ended in this worker."""
    return [told(span) for span in MEMORY.get_finished_spans()]
