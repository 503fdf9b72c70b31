"""Traces for OpenTelemetry: a span where jobs are added, one where they run, and a link from that to the first.

No other module knows OpenTelemetry, and this one imports it only if the option `tracing` is on. Names are those of its
conventions for messaging, which are still in development: whoever follows a change of them edits this file alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from taskscheduler.errors import InvalidOptionError

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Span

FIELD = "trace"  #: of a job that was added in a trace: what links its runs to that, in the form of the W3C

_KEYS = ("traceparent", "tracestate")

_LONGEST = 1024  #: characters of a stored value

_MOST_LINKS = 128  #: of the span of a batch

_FLUSHED_WITHIN = 2000  #: milliseconds for sending what is left when a worker ends


def traced(name: str, value: Any) -> bool:
    """Returns the option `tracing`; InvalidOptionError if it is none, or if the library for it is not installed."""
    if not isinstance(value, bool):
        raise InvalidOptionError(f"option {name} must be a boolean")
    if value and not _is_installed():
        raise InvalidOptionError(
            f"option {name} needs opentelemetry-api, which is not installed: pip install 'mongo-taskscheduler[otel]'"
        )
    return value


def _is_installed() -> bool:
    try:
        return find_spec("opentelemetry.trace") is not None
    except ModuleNotFoundError:
        return False


@cache
def tracing_of(option: bool) -> Tracing | None:
    """Returns what makes spans if the option is on."""
    return Tracing() if option else None


class Tracing:
    """Makes spans with the provider that the application has set up. Safe to use from many threads and tasks."""

    def __init__(self) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - optional, and only for those who have switched it on
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - the same
            TraceContextTextMapPropagator,
        )

        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        try:
            self._tracer = trace.get_tracer("taskscheduler", version("mongo-taskscheduler"))
        except PackageNotFoundError:
            self._tracer = trace.get_tracer("taskscheduler")

    # -- where jobs are added ---------------------------------------------------------------------------------------

    @contextmanager
    def sending(self, queue: str, names: Sequence[str]) -> Iterator[Sent]:
        """Makes the span `send QUEUE` around the adding of jobs of these classes."""
        facts = _facts("send", queue, names)
        kind = self._trace.SpanKind.PRODUCER
        with self._tracer.start_as_current_span(f"send {queue}", kind=kind, attributes=facts) as span:
            try:
                yield Sent(span)
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                raise

    def carrier(self) -> dict[str, str]:
        """Returns the present span in the form of the W3C; nothing if there is none."""
        found: dict[str, str] = {}
        self._propagator.inject(found)
        return found

    # -- where they run ---------------------------------------------------------------------------------------------

    @contextmanager
    def processing(self, jobs: Sequence[Mapping[str, Any]]) -> Iterator[Processed]:
        """Makes the span `process QUEUE` around an attempt at a job, or at a batch of jobs.

        It is linked to the spans in which they were added, which may be long over, and is the root of a trace.
        """
        first = jobs[0]
        queue = str(first.get("queue", ""))
        facts = _facts("process", queue, [str(job.get("class", "")) for job in jobs])
        if len(jobs) == 1:
            facts |= {"messaging.message.id": str(first["_id"]), "taskscheduler.job.attempt": first["attempt"]}
        links = [link for job in jobs[:_MOST_LINKS] if (link := self._link(job)) is not None]
        kind, empty = self._trace.SpanKind.CONSUMER, self._trace.set_span_in_context(self._trace.INVALID_SPAN)
        span = self._tracer.start_span(f"process {queue}", empty, kind, facts, links)
        with self._trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield Processed(span, self._trace.StatusCode.ERROR)
            except BaseException as error:  # also an interruption, which passes through every job
                span.set_attribute("error.type", type(error).__name__)
                raise

    def _link(self, job: Mapping[str, Any]) -> Link | None:
        """Returns the link to the span in which a job was added; None if nothing sound is stored."""
        stored = job.get(FIELD)
        if not isinstance(stored, Mapping):
            return None
        carrier = {key: value for key in _KEYS if isinstance(value := stored.get(key), str) and len(value) <= _LONGEST}
        context = self._trace.get_current_span(self._propagator.extract(carrier)).get_span_context()
        return self._trace.Link(context) if carrier and context.is_valid else None

    def flush(self) -> None:
        """Sends the spans that are left, as this process ends without the hooks by which a provider would."""
        flush = getattr(self._trace.get_tracer_provider(), "force_flush", None)
        if callable(flush):
            flush(_FLUSHED_WITHIN)


def _facts(operation: str, queue: str, names: Sequence[str]) -> dict[str, str | int]:
    facts: dict[str, str | int] = {
        "messaging.system": "taskscheduler",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
    }
    if len(names) != 1:
        facts["messaging.batch.message_count"] = len(names)
    if len(set(names)) == 1:
        facts["taskscheduler.job.class"] = names[0]
    return facts


class Sent:
    """The span in which jobs are added."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def job(self, job_id: Any) -> None:
        """Notes the only job."""
        self._span.set_attribute("messaging.message.id", str(job_id))


class Processed:
    """The span of an attempt."""

    def __init__(self, span: Span, error: Any) -> None:
        self._span = span
        self._error = error

    def ended(self, outcome: str, error: Mapping[str, Any] | None) -> None:
        """Notes how the attempt ended, and the error of one that failed."""
        self._span.set_attribute("taskscheduler.job.outcome", outcome)
        if error is None:
            return
        kind, message = str(error.get("type", "")), str(error.get("message", ""))
        self._span.set_attribute("error.type", kind)
        self._span.set_status(self._error, f"{kind}: {message}")
        texts = {"type": kind, "message": message, "stacktrace": str(error.get("traceback") or "")}
        self._span.add_event("exception", {f"exception.{name}": text for name, text in texts.items()})
