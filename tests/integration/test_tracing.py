"""Spans where jobs are added and where they run, linked to each other; and nothing of it unless it is switched on."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pymongo.database import Database
from tests.support.nodes import NodeProcess
from tests.support.tracejobs import told

from taskscheduler import AsyncScheduler, Flow, InvalidOptionError, Scheduler
from taskscheduler.model.lifecycle import Ending
from taskscheduler.tracing import Tracing

StartNode = Callable[..., NodeProcess]
Spans = Callable[[], list[dict[str, Any]]]

LINK = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0[0-9a-f]")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans of this process: OpenTelemetry allows one provider, so it is put in place of the global one."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr("taskscheduler.operations.add.tracing_of", lambda on: Tracing() if on else None)
    yield exporter
    provider.shutdown()


def spans_of(memory: InMemorySpanExporter) -> list[dict[str, Any]]:
    return [told(span) for span in memory.get_finished_spans()]


@pytest.fixture
def traced(uri: str, memory: InMemorySpanExporter) -> Iterator[Scheduler]:
    assert memory
    with Scheduler(uri, tracing=True) as scheduler:
        yield scheduler


def link_of(document: dict[str, Any]) -> str:
    found = LINK.fullmatch(document["trace"]["traceparent"])
    assert found is not None
    return f"{found[1]}-{found[2]}"


def test_a_worker_links_its_span_to_that_of_who_added_the_job(
    traced: Scheduler,
    memory: InMemorySpanExporter,
    start_node: StartNode,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    file = tmp_path / "spans"
    monkeypatch.setenv("TRACED", "1")
    monkeypatch.setenv("TRACED_SPANS", str(file))
    node = start_node(jobs=["tests.support.tracejobs"], tracing=True, pm="static", min_children=1, max_children=1)
    with trace.get_tracer_provider().get_tracer("app").start_as_current_span("request"):
        process = traced.add_job("traced", {"fails": 1, "retry": True}, queue="mail", retry=2)
    pid = process.result(60)
    failed = traced.add_job("traced", {"fails": 1})
    alone = traced.add_job("traced-async")
    traced.wait_for([failed, alone], timeout=60)
    run: list[dict[str, Any]] = traced.add_job("spans").result(60)
    assert {span["pid"] for span in run} == {pid}
    sent, request = (
        next(span for span in spans_of(memory) if span["name"] == name) for name in ("send mail", "request")
    )
    assert (sent["kind"], sent["parent"]) == ("PRODUCER", request["id"])
    assert sent["attributes"] == {
        "messaging.system": "taskscheduler",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "mail",
        "messaging.message.id": str(process.id),
        "taskscheduler.job.class": "traced",
    }
    attempts = [span for span in run if span["name"] == "process mail"]
    assert [(span["kind"], span["links"], span["parent"]) for span in attempts] == [
        ("CONSUMER", [sent["id"]], None)
    ] * 2
    assert [span["attributes"]["taskscheduler.job.attempt"] for span in attempts] == [1, 2]
    assert [span["attributes"]["taskscheduler.job.outcome"] for span in attempts] == ["failed", "succeeded"]
    assert len({span["id"][:32] for span in attempts}) == 2, "each attempt is a trace of its own"
    own = [span["parent"] for span in run if span["name"] == "own"]
    assert set(own) == {span["id"] for span in run if span["name"].startswith("process ")}
    [bad] = [span for span in run if span["attributes"].get("messaging.message.id") == str(failed.id)]
    assert (bad["status"], bad["attributes"]["error.type"], bad["events"]) == ("ERROR", "RuntimeError", ["exception"])
    # a thread of the worker exports these; they are sent before the worker ends
    assert node.stop() == 0
    written = file.read_text()
    assert written.count('"name": "process mail"') == 2
    assert written.count('"name": "process default"') == 3


def test_every_way_to_add_stores_the_context(
    traced: Scheduler, memory: InMemorySpanExporter, database: Database[Any]
) -> None:
    one, once = traced.add_job("noop"), traced.add_job_once("noop", {"a": 1})
    many = traced.add_jobs(["noop", ("echo", {}, {"queue": "mail"})])
    flow = Flow("f")
    flow.add("noop")
    with trace.get_tracer_provider().get_tracer("app").start_as_current_span("request"):
        running = traced.flows.add(flow)
    stored = {job["_id"]: job for job in database["taskscheduler.jobs"].find()}
    spans = {span["name"]: span for span in spans_of(memory)}
    assert link_of(stored[many[0].id]) == link_of(stored[many[1].id]) == spans["send many"]["id"]
    assert spans["send many"]["attributes"]["messaging.batch.message_count"] == 2
    assert {link_of(stored[one.id]), link_of(stored[once.id])} < {span["id"] for span in spans_of(memory)}
    assert link_of(stored[running.processes[0].id]) == spans["request"]["id"]


async def _added(uri: str) -> None:
    async with AsyncScheduler(uri, tracing=True) as scheduler:
        with trace.get_tracer_provider().get_tracer("app").start_as_current_span("request"):
            await scheduler.add_job("noop")


def test_a_coroutine_that_adds_a_job_is_the_parent(uri: str, memory: InMemorySpanExporter) -> None:
    asyncio.run(_added(uri))
    sent, request = spans_of(memory)
    assert (sent["name"], sent["parent"]) == ("send default", request["id"])


def test_a_refused_job_ends_its_span_with_the_error(traced: Scheduler, memory: InMemorySpanExporter) -> None:
    with pytest.raises(InvalidOptionError):
        traced.add_job("noop", queue="A B")
    assert spans_of(memory) == []
    one = traced.add_job("noop")
    with pytest.raises(Exception, match="id"):
        traced.add_job("noop", id=one.id)
    assert spans_of(memory)[-1]["attributes"]["error.type"] == "DuplicateJobError"


@pytest.mark.parametrize(
    "stored",
    [None, 5, {}, {"traceparent": 5}, {"traceparent": "00-zz-01"}, {"traceparent": "x" * 5000}, {"tracestate": "a=b"}],
)
def test_an_odd_context_links_nothing(stored: Any, memory: InMemorySpanExporter) -> None:
    document = {"_id": 1, "queue": "mail", "class": "noop", "attempt": 1, "trace": stored}
    with Tracing().processing([document]) as span:
        span.ended(Ending.SUCCEEDED.name.lower(), None)
    [made] = spans_of(memory)
    assert (made["name"], made["links"]) == ("process mail", [])


def test_an_interruption_ends_the_span(memory: InMemorySpanExporter) -> None:
    document = {"_id": 1, "queue": "mail", "class": "noop", "attempt": 1}
    with pytest.raises(KeyboardInterrupt), Tracing().processing([document, document]):
        raise KeyboardInterrupt
    [made] = spans_of(memory)
    assert (made["attributes"]["error.type"], made["attributes"]["messaging.batch.message_count"]) == (
        "KeyboardInterrupt",
        2,
    )


def test_without_the_option_nothing_is_stored(
    scheduler: Scheduler, memory: InMemorySpanExporter, database: Database[Any]
) -> None:
    with trace.get_tracer_provider().get_tracer("app").start_as_current_span("request"):
        scheduler.add_job("noop")
    stored = database["taskscheduler.jobs"].find_one()
    assert stored is not None
    assert "trace" not in stored
    assert [span["name"] for span in spans_of(memory)] == ["request"]


def test_without_a_provider_nothing_is_stored(uri: str, database: Database[Any]) -> None:
    """The API alone makes spans that nobody records, and they have no context."""
    program = "import sys; from taskscheduler import Scheduler; Scheduler(sys.argv[1], tracing=True).add_job('noop')"
    subprocess.run([sys.executable, "-c", program, uri], check=True, timeout=60)
    stored = database["taskscheduler.jobs"].find_one()
    assert stored is not None
    assert "trace" not in stored


def test_a_program_without_the_option_does_not_load_opentelemetry(uri: str) -> None:
    program = (
        "import sys, json; from taskscheduler import Scheduler; Scheduler(sys.argv[1]).add_job('noop');"
        "print(json.dumps([name for name in sys.modules if name.startswith('opentelemetry')]))"
    )
    ran = subprocess.run([sys.executable, "-c", program, uri], check=True, timeout=60, capture_output=True, text=True)
    assert json.loads(ran.stdout) == []


def test_without_the_extra_the_option_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskscheduler.tracing.find_spec", lambda name: None)
    with pytest.raises(
        InvalidOptionError, match=r"tracing needs opentelemetry-api.*pip install 'mongo-taskscheduler\[otel\]'"
    ):
        Scheduler("mongodb://127.0.0.1:1/app", tracing=True)
    with pytest.raises(InvalidOptionError, match="tracing must be a boolean"):
        Scheduler("mongodb://127.0.0.1:1/app", tracing="yes")
