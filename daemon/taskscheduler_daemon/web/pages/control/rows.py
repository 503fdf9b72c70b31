"""Turns pauses, limits, groups and blocked sequences into short plain values for the templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

from taskscheduler.model.control.limits import Limit
from taskscheduler.model.control.pauses import Pause
from taskscheduler.model.filters.expression import Term
from taskscheduler.model.filters.values import Value
from taskscheduler.model.job_ids import id_text
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.control.groups import MOST_COUNTED as MOST_GROUPED
from taskscheduler.operations.control.groups import GroupUse
from taskscheduler.operations.control.limits import MOST_HOLDERS, Holder, LimitUse
from taskscheduler.operations.control.sequences import BlockedSequence
from taskscheduler.store.control.places import MOST_COUNTED
from taskscheduler_daemon.presentation.job import error_line
from taskscheduler_daemon.presentation.limit import at_most, rate_of, state_of
from taskscheduler_daemon.presentation.pause import what
from taskscheduler_daemon.presentation.sequence import ago, waiting
from taskscheduler_daemon.presentation.text import local
from taskscheduler_daemon.web.pages.truncate import line
from taskscheduler_daemon.web.pages.view_models import Row, status_view

HOLDERS = 5  #: of a limit that are shown

_ONE_WORD = re.compile(r'[^\s",]+')


def pause_row(pause: Pause) -> Row:
    """Returns what is paused, by whom, for how long and why."""
    return {
        "key": pause.key,
        "what": line(what(pause), 500),
        "since": local(pause.at),
        "until": local(pause.until),
        "by": line(pause.by or "", 80),
        "reason": line(pause.reason or "", 500),
    }


def limit_row(use: LimitUse, now: datetime) -> Row:
    """Returns a limit with those that hold its places, the first of them."""
    limit = use.limit
    return {
        "key": _key(limit.name),
        "name": line(limit.name, 200),
        "is_many": limit.name.endswith("*"),
        "concurrency": limit.concurrency,
        "taken": at_most(use.taken, MOST_HOLDERS),
        "percent": _percent(use),
        "rate": rate_of(limit),
        "waiting": at_most(use.waiting, MOST_COUNTED) if use.waiting else "",
        "holders": [_holder_row(holder, use, now) for holder in use.holders[:HOLDERS]],
        "more": max(0, use.taken - HOLDERS),
        "at_work": _jobs("limit", limit.name, Status.PROCESSING.label),
        "waiting_jobs": _jobs("limit", limit.name, Status.POSTPONED.label),
        "by": line(limit.by or "", 80),
        "at": local(limit.at),
    }


def _key(name: str, field: str = "name") -> str:
    """Returns what names a limit, group or sequence in an address."""
    return urlencode({field: name}, errors="replace")


def _percent(use: LimitUse) -> int | None:
    """Returns how much of a limit is taken; None if that cannot be said: of a rate, or of many names together."""
    most = use.limit.concurrency
    if most is None or use.name.endswith("*"):
        return None
    return 100 if most == 0 else min(100, round(100 * use.taken / most))


def _jobs(key: str, name: str, status: str) -> str:
    """Returns the address of a list of jobs; empty if no expression finds the jobs of all these names."""
    is_pattern = name.endswith("*")
    if is_pattern and not _ONE_WORD.fullmatch(name):
        return ""
    expression = f"{Term(key, '', (Value(name, quoted=not is_pattern),))} status:{status}"
    return "jobs?" + urlencode({"q": expression}, errors="replace")


def _holder_row(holder: Holder, use: LimitUse, now: datetime) -> Row:
    return {
        "id": id_text(holder.job),
        "job": line(holder.job_class, 80),
        "name": "" if holder.name == use.name else line(holder.name, 200),
        "state": line(state_of(holder, now), 120),
    }


def group_row(use: GroupUse) -> Row:
    """Returns a group with how many of its jobs wait for their turn."""
    return {
        "key": _key(use.name, "group"),
        "name": line(use.name, 200),
        "target": _key(use.name),
        "weight": f"{use.weight:g}",
        "is_set": use.group.at is not None,
        "waiting": at_most(use.waiting, MOST_GROUPED) if use.waiting else "",
        "waiting_jobs": _jobs("group", use.name, Status.POSTPONED.label),
        "by": line(use.group.by or "", 80),
        "at": local(use.group.at),
    }


def sequence_row(one: BlockedSequence, now: datetime) -> Row:
    """Returns a blocked sequence and the job that has failed."""
    return {
        "key": _key(one.key),
        "name": line(one.key, 200),
        "id": id_text(one.job),
        "job": line(one.job_class, 80),
        "status": status_view(one.status),
        "ago": ago(one, now),
        "error": line(error_line(one.error), 300),
        "waiting": waiting(one) if one.waiting else "",
        "waiting_jobs": _jobs("sequence", one.key, "live"),
    }


def limit_form(name: str, limit: Limit | None) -> Mapping[str, str]:
    """Returns what the form shows that sets a limit: its values as people write them."""
    shown = {**dict.fromkeys(("concurrency", "rate", "per", "burst"), ""), "name": line(name, 200)}
    if limit is not None and limit.concurrency is not None:
        shown["concurrency"] = str(limit.concurrency)
    if limit is not None and limit.rate is not None:
        shown |= {"rate": f"{limit.rate:.15g}", "per": f"{limit.per:.15g}s", "burst": str(limit.burst)}
    return shown
