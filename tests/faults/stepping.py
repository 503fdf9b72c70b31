"""Pure: the promises about steps and signals: what was known is not done again, and all hear the same signal."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.checker import Facts, Violation

SLEEP = 0.3  #: seconds
SIGNAL_WITHIN = 3.0  #: seconds for which a job waits for its signal

TIMED_OUT = "timed out"  #: what a job notes whose signal has not come


def steps_run_once(facts: Facts) -> Iterator[Violation]:
    """A step does not run again in this or a later attempt when its job has been told the result, which stays.

    One that runs in an earlier attempt is that of a holder who was frozen, and stores nothing.
    """
    known: dict[tuple[str, str], tuple[int, object]] = {}
    for event in facts.of("ran", "known"):
        key, attempt = (event["job"], event["step"]), event["attempt"]
        told = known.get(key)
        if event["what"] == "known":
            first = known.setdefault(key, (attempt, event["value"]))
            if first[1] != event["value"]:
                text = f"{event['step']} was {first[1]} in attempt {first[0]}, and is {event['value']} in {attempt}"
                yield Violation("a step keeps its result", event["job"], text)
        elif told is not None and told[0] <= attempt:
            text = f"{event['step']} ran in attempt {attempt}, and was known in attempt {told[0]}"
            yield Violation("a step whose result is known does not run again", event["job"], text)


def signals_are_heard(facts: Facts) -> Iterator[Violation]:
    """A job hears the signal that its callers were told holds."""
    heard = {event["job"]: event["value"] for event in facts.of("known") if event["step"] == "go"}
    for event in facts.of("signalled"):
        job, value = event["job"], TIMED_OUT if event["timed_out"] else event["value"]
        if job in heard and heard[job] != value:
            text = f"its caller was told {value}, and it has heard {heard[job]}"
            yield Violation("all hear the same signal", job, text)
