"""Takes single mechanisms out of the product, in the node process that asks for it, to show that they are needed.

Some entries only set a trap: they bring about the moment that a mechanism is for, and take nothing away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from tests.faults.sabotage import attempts, controls, traps
from tests.faults.sabotage.patching import WrongClock

PATCHES: dict[str, Callable[[], None]] = {
    "fence": attempts.no_fence,
    "mark": attempts.no_mark,
    "deadline": attempts.no_deadline,
    "own check": attempts.no_own_check,
    "outbox": attempts.no_outbox,
    "second look": attempts.no_second_look,
    "read-back": attempts.no_read_back,
    "rescan": attempts.no_rescan,
    "suspicion": attempts.no_suspicion,
    "note of what began": attempts.no_note_of_what_began,
    "quarantine": attempts.no_quarantine,
    "requests": attempts.no_requests,
    "reason to kill": attempts.no_reason_to_kill,
    "patience with the unknown": attempts.no_patience_with_the_unknown,
    "hurry": attempts.no_hurry,
    "turn": controls.no_turn,
    "place of what waits again": controls.no_place_of_what_waits_again,
    "freed place": controls.no_freed_place,
    "order": controls.no_order,
    "turn over retries": controls.no_turn_over_retries,
    "failure that blocks": controls.no_failure_that_blocks,
    "turn of programs": controls.no_turn_of_programs,
    "end of the silent": controls.no_end_of_the_silent,
    "restart": attempts.no_restart,
    "derived ids": attempts.no_derived_ids,
    "trap: die before the next run": traps.die_before_the_next_run,
    "trap: die before a schedule is settled": traps.die_before_a_schedule_is_settled,
    "trap: admit late": traps.admit_late,
    "trap: collide": traps.collide,
}
WRONG_CLOCK = "trap: wrong clock"


def apply(names: Sequence[str]) -> Clock:
    """Patch this process; the clock that the node is to use."""
    for name in names:
        if name != WRONG_CLOCK:
            PATCHES[name]()
    return WrongClock() if WRONG_CLOCK in names else SYSTEM_CLOCK
