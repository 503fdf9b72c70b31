"""Moments at which nodes freeze, die, meet or come too late."""

from __future__ import annotations

from bson import ObjectId

from tests.faults import schedules
from tests.faults.controls import Control
from tests.faults.sabotage import WRONG_CLOCK
from tests.support.eventually import eventually


def overtaken(control: Control, first: int, job: ObjectId) -> None:
    """A node is frozen while it runs a job, and wakes when another one has run it to its end."""
    control.await_start(job, 1)
    control.pause([first])
    control.node("second")
    control.await_start(job, 2)
    control.await_end()
    control.resume([first])


def late_report(control: Control, *without: str) -> None:
    """A frozen node learns of the end of a job when another one has run the job again."""
    first = control.node("first", "mark", "own check", *without)
    job = control.add("nap", 1.0)
    overtaken(control, first.pid, job)
    written = ("fenced", "recorded")
    eventually(
        lambda: any(event["pid"] == first.pid for kind in written for event in control.seen(kind)), 10, "a write"
    )
    control.await_end()


def silent_node(control: Control, *without: str) -> None:
    """A node cannot renew its lease; its manager and its worker go on."""
    first = control.node("first", *without)
    overtaken(control, first.pid, control.add("nap", 7.0))


def thawed_host(control: Control, *without: str) -> None:
    """A node thaws with all its processes when another one has taken its job over."""
    first = control.node("first", "deadline", "own check", *without)
    job = control.add("nap", 7.0)
    control.await_start(job, 1)
    frozen = first.tree
    control.pause(frozen)
    control.node("second")
    control.await_start(job, 2)
    control.resume(frozen)
    control.await_end()


def death_between_two_runs(control: Control, *without: str) -> None:
    """A node dies between the end of one run of a series and the beginning of the next."""
    first = control.node("first", "trap: die before the next run", *without)
    series = control.add("quick", "series", "any", interval=0.5)
    eventually(lambda: not first.running, 10, "the death of the node")
    control.node("second")
    try:
        eventually(lambda: control.count(series=series) > 2, 6 if without else 30, "the next run")
    except AssertionError:
        pass  # for the checker to say
    control.history.write("series", series=str(series), advanced=control.count(series=series) > 1)
    control.scheduler.cancel_job(series)
    control.await_end()


def wrong_clock(control: Control, *without: str) -> None:
    """The clock of one of two nodes is an hour ahead."""
    control.node("first")
    job = control.add("nap", 8.0)  # the second node begins and looks around meanwhile, also on a busy machine
    control.await_start(job, 1)
    control.node("second", WRONG_CLOCK, *without)
    control.await_end()


def same_jobs(control: Control, *without: str) -> None:
    """Two nodes ask for the same jobs at the same time."""
    for name in ("first", "second"):
        control.node(name, "trap: collide", *without, min_children=4, max_children=4)
    control.add_many("nap", [0.3] * 8)
    try:
        control.await_end(12.0 if without else 40.0)
    except AssertionError:
        pass  # for the checker to say


def lost_message(control: Control, *without: str) -> None:
    """The message that tells of a job is lost."""
    control.node("first", *without)
    done = control.add("quick")
    control.await_start(done, 1)
    control.await_end()
    messages = control.scheduler.store.wakeups
    messages.jobs_added = lambda *_, **__: None  # type: ignore[method-assign]
    messages.is_quiet = lambda: False  # type: ignore[method-assign]
    control.add("quick")
    try:
        control.await_end(5.0 if without else 30.0)
    except AssertionError:
        pass  # for the checker to say


def unknown_class(control: Control, *without: str) -> None:
    """A node that does not know a job meets it first."""
    control.node("first", *without, jobs=[])
    control.add("quick")
    eventually(lambda: _mentions(control, "not known") or control.count(status=4), 20, "it has met the job")
    control.node("second")
    control.await_end()


def _mentions(control: Control, text: str) -> bool:
    return any(text in event["text"] for event in control.seen("log"))


def death_while_a_run_is_added(control: Control, *without: str) -> None:
    """A node dies when it has added the run of a schedule, and before the schedule says so."""
    first = control.schedule()
    dying = control.node("first", "trap: die before a schedule is settled", *without)
    eventually(lambda: not dying.running, 20, "the node is dead")
    control.node("second", *without)
    eventually(lambda: control.count(schedule=schedules.NAME, status=3) > 3, 20, "the schedule goes on")
    control.end_schedule(first)
    control.await_end()


def no_room_in_time(control: Control, *without: str) -> None:
    """There is no slot for a job until it is of no use any more."""
    control.node("first", *without, min_children=1, max_children=1)
    control.await_start(control.add("nap", 1.5), 1)
    control.add("quick", expected="any", start_by=0.5)
    control.await_end()
