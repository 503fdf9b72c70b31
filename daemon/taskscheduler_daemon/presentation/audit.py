"""Shows entries of the audit log to people and programs."""

from __future__ import annotations

from typing import Any

from taskscheduler.model.audit.entries import DONE, AuditEntry
from taskscheduler_daemon.presentation.text import iso, json_line

COLUMNS = ("AT", "WHO", "WHAT", "ON", "OUTCOME", "REASON")


def record(entry: AuditEntry) -> dict[str, Any]:
    """Returns an entry for programs."""
    return {
        "id": entry.id,
        "at": entry.at,
        "who": entry.who,
        "role": entry.role or None,
        "via": entry.via,
        "address": entry.address,
        "what": entry.what,
        "target": entry.target,
        "facts": entry.facts,
        "reason": entry.reason,
        "outcome": entry.outcome,
        "count": entry.count,
        "error": entry.error,
        "more": entry.more,
    }


def row(entry: AuditEntry) -> tuple[str, ...]:
    """Returns an entry as the cells of a table."""
    return iso(entry.at), entry.who, entry.what, about(entry), outcome(entry), entry.reason or ""


def about(entry: AuditEntry) -> str:
    """Words what an action was on: its target, and what else was given."""
    facts = [f"{name} {value if isinstance(value, str) else json_line(value)}" for name, value in entry.facts.items()]
    return ", ".join([*([entry.target] if entry.target else []), *facts])


def outcome(entry: AuditEntry) -> str:
    """Words how an action ended."""
    counted = f" {entry.count}" if entry.outcome == DONE and entry.count is not None else ""
    left_out = f" (and {entry.more} more before)" if entry.more else ""
    error = f": {entry.error}" if entry.error else ""
    return f"{entry.outcome}{counted}{left_out}{error}"
