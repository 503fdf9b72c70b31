"""Pure: the promises about several jobs, about time, and about what listeners hear; and the list of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.faults import checker, flowing, places, retries, schedules, stepping, turns
from tests.faults.checker import CANCELED, DONE, FAILED, FINAL, PROCESSING, TIMEOUT, Facts, Rule, Violation
from tests.faults.executions import Execution, excused, overlaps, pauses

MARGIN = 1.0  #: seconds that a thawed or cancelled job may take to be killed, on a busy machine
_HEARD_LATE = 2.0
#: what is only logged of exceptions that nobody expected
_CRASHES = {"a thread of the node ended by an exception", "process ended by an exception"}


def no_overlap(facts: Facts) -> Iterator[Violation]:
    """Two attempts of a job overlap only if the first one's worker or manager was frozen."""
    frozen = pauses(facts.events)
    for job, runs in facts.runs.items():
        for earlier, later in overlaps(runs):
            if not excused(earlier, later, frozen, MARGIN):
                seconds = earlier.last - later.began
                text = f"attempt {earlier.attempt} went on for {seconds:.2f} s beside attempt {later.attempt}"
                yield Violation("executions do not overlap", job, text)


def series_go_on(facts: Facts) -> Iterator[Violation]:
    """Runs of a series are numbered without a gap or a double, one is live at a time, and a fault does not end it."""
    numbers: dict[str, list[int]] = {}
    for document in facts.documents.values():
        if "series" in document:
            numbers.setdefault(str(document["series"]), []).append(document["seq"])
    for series, found in numbers.items():
        if sorted(found) != list(range(len(found))):
            yield Violation("a series has no gap and no double", series, f"runs {sorted(found)}")
    for event in facts.of("series"):
        if not event["advanced"]:
            yield Violation("a series goes on", event["series"], "no new run although it was not cancelled")


def one_live_run(facts: Facts) -> Iterator[Violation]:
    yield from _one_live(facts, "series", "one run of a series is live")


def one_live_key(facts: Facts) -> Iterator[Violation]:
    yield from _one_live(facts, "once", "add_job_once keeps one job live")


def _one_live(facts: Facts, field: str, rule: str) -> Iterator[Violation]:
    live: dict[str, str] = {}  #: by series or key
    of_job: dict[str, str] = {}
    for change in facts.changes:
        job, status = change["job"], change["set"].get("status")
        key = change["set"].get(field)
        if change["op"] == "insert" and key is not None:
            if key in live:
                yield Violation(rule, job, f"added while {live[key]} was live")
            of_job[job], live[key] = key, job
        elif (status in FINAL or change["op"] == "delete") and live.get(of_job.get(job, "")) == job:
            del live[of_job[job]]


def children_fail_parents(facts: Facts) -> Iterator[Violation]:
    """When a failed child has told its parent, the parent cannot be done any more."""
    parents: dict[str, str] = {}
    failed: set[str] = set()
    told: dict[str, str] = {}  #: the child that told, by parent
    for change in facts.changes:
        job, fields = change["job"], change["set"]
        if fields.get("parent") is not None:
            parents[job] = fields["parent"]
        if fields.get("status") in (FAILED, TIMEOUT):
            failed.add(job)
        elif fields.get("status") == DONE and job in told:
            yield Violation("a failed child fails its parent", job, f"done after {told[job]} had failed")
        if job in failed and job in parents and "family" not in fields.get("pending", ("family",)):
            told.setdefault(parents[job], job)


def canceled_never_start(facts: Facts) -> Iterator[Violation]:
    """A cancelled job starts no attempt that it had not been claimed for, and stops soon."""
    known = {event["job"]: event["t"] for event in facts.of("canceled")}
    frozen, cut = pauses(facts.events), _fault_times(facts)
    for job, document in facts.documents.items():
        if document["status"] != CANCELED:
            continue
        for run in facts.runs.get(job, ()):
            if run.attempt > document["attempt"]:
                yield Violation("a cancelled job never starts", job, f"attempt {run.attempt} started")
            elif job in known and run.last > known[job] + facts.kill_grace + MARGIN:
                late = run.last - known[job]
                if not _disturbed(run, known[job], frozen, cut, facts.lease):
                    yield Violation("a cancelled job is killed", job, f"it went on for {late:.1f} s")


def timeouts_hold(facts: Facts) -> Iterator[Violation]:
    """A job over its time is dead within the grace time and a second, unless its manager was frozen."""
    frozen = pauses(facts.events)
    for job, document in facts.documents.items():
        limit = document["options"]["timeout"]
        for run in facts.runs.get(job, ()) if limit else ():
            ran = run.last - run.began
            disturbed = any(
                pause.began <= run.last and pause.ended >= run.began
                for pid in (run.pid, run.manager)
                for pause in frozen.get(pid, ())
            )
            if ran > limit + facts.kill_grace + MARGIN and not disturbed:
                yield Violation("a timeout is kept", job, f"ran {ran:.1f} s of {limit} s")


def _fault_times(facts: Facts) -> list[tuple[float, float]]:
    """When some fault was under way; a fault may delay the word of a cancellation."""
    found, began = [], {}
    for event in facts.of("fault", "healed"):
        if event["what"] == "fault":
            began[event["fault"]] = event["t"]
        elif event["fault"] in began:
            found.append((began.pop(event["fault"]), event["t"]))
    return found + [(since, float("inf")) for since in began.values()]


def _disturbed(
    run: Execution, since: float, frozen: object, faults: Sequence[tuple[float, float]], lease: float
) -> bool:
    return any(began - 1.0 <= run.last and since <= ended + lease * 2 for began, ended in faults)


def listeners_hear_all(facts: Facts) -> Iterator[Violation]:
    """A listener hears every change of a status; after a gap at least how each job ended, if that was lately.

    The claim of an attempt that was handed back unstarted, and its return, need not be heard.
    """
    if any(True for _ in facts.of("gap")) or not any(True for _ in facts.of("listening")):
        return
    heard = Counter((event["job"], event["status"]) for event in facts.of("heard"))
    made: Counter[tuple[str, int]] = Counter()
    attempts: dict[str, int] = {}
    for change in facts.changes:
        job, values = change["job"], change["set"]
        before, attempts[job] = attempts.get(job, 0), values.get("attempt", attempts.get(job, 0))
        if attempts[job] < before:
            made[job, PROCESSING] -= 1
        elif "status" in values and change["op"] in ("insert", "update"):
            made[job, values["status"]] += 1
    for (job, status), count in made.items():
        if heard[job, status] < count:
            text = f"status {status} was heard {heard[job, status]} times and set {count} times"
            yield Violation("a listener misses nothing", job, text)


def nothing_left(facts: Facts) -> Iterator[Violation]:
    for event in facts.of("left"):
        yield Violation("no process is left", "", f"pids {event['pids']}")
    for event in facts.of("stopped"):
        if event["code"] != 0:
            yield Violation("nodes stop when they are asked to", "", f"{event['who']}: exit code {event['code']}")
    for event in facts.of("stuck"):
        yield Violation("nodes stop when they are asked to", "", f"{event['who']} did not end")


def nothing_crashes(facts: Facts) -> Iterator[Violation]:
    for event in facts.of("log"):
        if event["text"] in _CRASHES:
            yield Violation("no part of a node crashes", "", f"{event['by']}: {event['text']}")


TRANSITIONS: Sequence[Rule] = (
    checker.present,
    checker.refusals_are_certain,
    checker.all_end,
    checker.nothing_unexpected,
    checker.one_completion,
    checker.own_result,
    checker.started_once,
    checker.attempts_grow,
    checker.legal_moves,
    checker.not_early,
    checker.retries_bounded,
    retries.pauses_are_kept,
    retries.snoozes_are_free,
    retries.nothing_starts_too_late,
    stepping.steps_run_once,
    stepping.signals_are_heard,
    flowing.in_their_turn,
    flowing.flows_end,
    flowing.effects_exist_once,
    flowing.orders_have_their_job,
    checker.as_expected,
    checker.innocent_not_set_aside,
    checker.charged_had_started,
    no_overlap,
    series_go_on,
    one_live_run,
    one_live_key,
    children_fail_parents,
    canceled_never_start,
    timeouts_hold,
    schedules.one_run_for_each_time,
    turns.one_at_a_time,
    places.limits_are_kept,
    places.one_of_a_sequence,
    places.sequences_are_in_order,
    places.failures_block,
    places.no_place_is_kept,
    places.nothing_stays_parked,
    turns.dead_programs_end,
    turns.services_come_back,
    turns.services_stop,
    listeners_hear_all,
    nothing_left,
    nothing_crashes,
)


def violations(facts: Facts) -> list[Violation]:
    """Every promise that was broken."""
    return [violation for rule in TRANSITIONS for violation in rule(facts)]


def counts(facts: Facts) -> dict[str, int]:
    """The figures that tell how much was done and how much of it went wrong."""
    ended = {job for job, document in facts.documents.items() if document["status"] in FINAL}
    unknown = facts.ids("unknown") | (facts.attempted - facts.acked - facts.ids("existing") - facts.ids("refused"))
    twice = [job for job, runs in facts.runs.items() if _ran_twice(runs)]
    overlapped = [job for job, runs in facts.runs.items() if overlaps(runs)]
    return {
        "acked": len(facts.acked),
        "lost": len(facts.acked - ended),
        "unexpected": sum(1 for _ in checker.nothing_unexpected(facts)),
        "unknown": len(unknown),
        "recovered": len(unknown & set(facts.documents)),
        "run twice": len(twice),
        "overlapped": len(overlapped),
        "fenced": sum(len(event["ends"]) for event in facts.of("fenced")),
        "reaped": sum(len(event["jobs"]) for event in facts.of("reaped")),
        "scheduled runs": _executions(facts, "schedule"),
        "times left out": schedules.left_out(facts),
        "solo runs": _executions(facts, "solo"),
        "limited runs": _executions(facts, "limits"),
        "runs of sequences": _executions(facts, "sequence"),
        "runs of groups": _executions(facts, "group"),
        "flows": sum(1 for _ in facts.of("flow")),
        "effects": sum(1 for _ in facts.of("effect")),
        "orders": sum(1 for _ in facts.of("order")),
        "service runs": _executions(facts, "service"),
        "program runs": _executions(facts, "program"),
        "executions": sum(len(runs) for runs in facts.runs.values()),
        "done": sum(1 for document in facts.documents.values() if document["status"] == DONE),
        "recorded": sum(len(event["ends"]) for event in facts.of("recorded")),
        "changes": len(facts.changes),
        "heard": sum(1 for _ in facts.of("heard")),
        "gaps": sum(1 for _ in facts.of("gap")),
    }


def _executions(facts: Facts, field: str) -> int:
    """How often jobs with this field were executed."""
    return sum(len(facts.runs.get(job, ())) for job, document in facts.documents.items() if field in document)


def _ran_twice(runs: Sequence[Execution]) -> bool:
    """Whether a job began again although the attempt before had not failed by itself."""
    return any(run.how in (None, "done", "JobInterrupted") for run in runs[:-1])
