"""What `migrate` prints of a step, and of what remains to be done."""

from __future__ import annotations

from dataclasses import replace

from taskscheduler.model.migration.steps import StepReport, StepState, report
from taskscheduler_daemon.presentation.migration import line, verdict

OLD = {"name": "web", "host": "a", "silent": 1.0}

NEEDED = report(1, "blocked, due", [])

WAITS = report(5, "it is there", [OLD])

DONE = replace(NEEDED, state=StepState.DONE, changed=2)


def test_a_step_says_what_is_to_be_done_or_was() -> None:
    ends = [line(step).partition(": ")[2] for step in (NEEDED, WAITS, DONE, report(1, "", []))]
    assert ends == ["needed (blocked, due)", "waits for web on a (version 0.1.0)", "done, 2 changed", "not needed"]


def test_the_last_lines_say_what_remains() -> None:
    run = "Nothing was changed. To do what is needed, run the same without --dry-run"
    wait = (
        "Some steps wait for older nodes. Replace these, then run taskscheduler migrate again: web on a (version 0.1.0)"
    )
    found: list[tuple[list[StepReport], list[str]]] = [
        ([DONE], ["The database is of this version."]),
        ([NEEDED], [run]),
        ([DONE, WAITS], [wait]),
        ([NEEDED, WAITS], [run, wait]),
    ]
    for reports, lines in found:
        assert verdict(reports) == lines
