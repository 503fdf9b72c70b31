"""Runs the demo: sets it up, adds the jobs, shows what happens, sums up and goes on until somebody ends it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bson import ObjectId

from taskscheduler.clock import Deadline
from taskscheduler.connection import URI_VARIABLE
from taskscheduler.embedded import DATABASE, DATABASE_VARIABLE, STATE_VARIABLE, EmbeddedServer
from taskscheduler.event_names import STATUS_EVENTS
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.demo import plan
from taskscheduler_daemon.demo.dashboard import Dashboard
from taskscheduler_daemon.demo.environment import (
    Environment,
    embedded_server,
    environment_in,
    queue_node,
    work_directory,
)
from taskscheduler_daemon.demo.node import WORKERS
from taskscheduler_daemon.demo.output import EventOutput, PlainOutput
from taskscheduler_daemon.presentation.next_step import pasteable
from taskscheduler_daemon.presentation.terminal import is_fancy, is_terminal
from taskscheduler_daemon.system.interrupts import InterruptibleQueue
from taskscheduler_daemon.system.node_subprocess import NodeSubprocess

_LOOK_EVERY = 0.2

_FILE_EVERY = 2.0  #: seconds between two files for the watched directory

_EVENTS_WITHIN = 5.0  #: seconds that the last events may come after all jobs were seen to have ended

_ENDED = {Status.DONE: "done", Status.FAILED: "failed", Status.TIMEOUT: "timeout", Status.CANCELED: "cancelled"}

Event = tuple[str, Process]


def main(seconds: float | None = None) -> int:
    """Runs the demo until Ctrl-C, or for so many seconds; returns the exit code. Needs the main thread.

    Raises EmbeddedServerError if no MongoDB server can run here, SchedulerError if the queue node ends by itself.
    """
    events: InterruptibleQueue[Event] = InterruptibleQueue()
    with events.signals():
        try:
            _run(events, seconds)
        except KeyboardInterrupt:
            pass  # only while the server starts: everything is taken down already
    return 0


def _run(events: InterruptibleQueue[Event], seconds: float | None) -> None:
    output = _output()
    with ExitStack() as stack:
        directory = stack.enter_context(work_directory())
        output.say(*_introduction(directory))
        environment = stack.enter_context(environment_in(directory))
        plan.prepare(environment)
        with events.breakable():
            server = stack.enter_context(embedded_server(directory / "server"))
        node = stack.enter_context(queue_node(server.uri, directory))
        output.say("Next, in another terminal (also status, show ID, cancel ID):")
        output.say(f"  {_next_step(server)}", "")
        scheduler = stack.enter_context(Scheduler(server.uri))
        stack.callback(output.say, "Stopping: node, server, files.")
        stack.callback(output.close)
        DemoRun(scheduler, environment, node, output, events).run(Deadline(seconds))
    output.say("Nothing is left.")


def _output() -> EventOutput:
    # a dumb terminal cannot draw over earlier lines
    return Dashboard(is_fancy()) if is_terminal() and os.environ.get("TERM") != "dumb" else PlainOutput()


def _next_step(server: EmbeddedServer) -> str:
    environment = {STATE_VARIABLE: str(server.state_dir), DATABASE_VARIABLE: DATABASE}
    if os.environ.get(URI_VARIABLE):
        environment = {URI_VARIABLE: "", **environment}
    return pasteable(["list", "--all"], environment)


def _introduction(directory: Path) -> list[str]:
    lines = [
        f"taskscheduler demo: a MongoDB server, a queue node with {WORKERS} workers, {len(plan.ABOUT)} kinds of jobs.",
        "The jobs do real work: copy, mail, download, compute. Some fail, hang, or lose their worker.",
        f"All of it lives in {directory} and is gone after Ctrl-C.",
    ]
    if os.environ.get(URI_VARIABLE):
        lines.append(f"{URI_VARIABLE} is set, but the demo uses a server of its own and leaves that one alone.")
    return lines


class DemoRun:
    """Adds the jobs and follows them."""

    def __init__(
        self,
        scheduler: Scheduler,
        environment: Environment,
        node: NodeSubprocess,
        output: EventOutput,
        events: InterruptibleQueue[Event],
    ) -> None:
        self._scheduler = scheduler
        self._environment = environment
        self._node = node
        self._output = output
        self._events = events
        self._order: list[ObjectId] = []
        self._last_event: dict[ObjectId, str] = {}
        self._runs = 0
        self._last_run = ""
        self._files = 0
        self._next_file = Deadline(0)
        self._canceled = False

    def run(self, deadline: Deadline) -> None:
        """Shows what happens until somebody asks for the end or the deadline passes."""
        self._scheduler.on("*", lambda event, process: self._events.put((event, process)))
        with self._scheduler.listen_in_background():
            added = plan.add_all(self._scheduler, self._environment, lambda: self._events.ending)
            self._order = [job.id for job in added]
            events_due: Deadline | None = None
            summed_up = False
            while not self._events.ending and not deadline.passed:
                self._show_events(deadline.left(_LOOK_EVERY))
                jobs = self._show_jobs()
                self._intervene(jobs)
                if not summed_up and all(job.status.is_final for job in jobs if plan.is_one_off(job)):
                    events_due = events_due or Deadline(_EVENTS_WITHIN)
                    summed_up = events_due.passed or self._all_reported(jobs)
                    if summed_up:
                        self._output.summary(self._summary(jobs))

    def _show_events(self, within: float) -> None:
        for event, process in self._events.take(within):
            self._last_event[process.id] = event
            if process.job == plan.RECURRING and process.status is Status.DONE:
                self._runs += 1
                self._last_run = f"run {self._runs}: {process.message}"
            self._output.event(event, process)

    def _show_jobs(self) -> list[Process]:
        """Shows and returns all jobs, children below their parents; of the recurring one only its next run."""
        self._node.check()
        live = {"class": plan.RECURRING, "status": {"$lte": int(Status.PROCESSING)}}
        jobs = list(self._scheduler.get_jobs({"$or": [{"class": {"$ne": plan.RECURRING}}, live]}))
        jobs.sort(key=self._place)
        self._output.show(jobs, self._last_run)
        return jobs

    def _place(self, job: Process) -> tuple[bool, int, bool, ObjectId]:
        """Returns the sort key of a job: in the order of adding, endless jobs last."""
        first = job.parent or job.series or job.id
        place = self._order.index(first) if first in self._order else len(self._order)
        return (not plan.is_one_off(job), place, job.parent is not None, job.id)

    def _intervene(self, jobs: Sequence[Process]) -> None:
        """Plays the users and other programs: cancels a job and drops files into the watched directory."""
        for job in jobs:
            if job.job == "PackLogs" and job.progress >= plan.CANCEL_AT and not self._canceled:
                self._canceled = True
                job.cancel()
        if self._next_file.passed:
            self._next_file = Deadline(_FILE_EVERY)
            self._files += 1
            (self._environment.inbox / f"file-{self._files}.txt").write_text("something\n" * self._files)

    def _all_reported(self, jobs: Sequence[Process]) -> bool:
        """Returns whether the final event of each job has come."""
        return all(self._last_event.get(job.id) == STATUS_EVENTS[job.status] for job in jobs if plan.is_one_off(job))

    def _summary(self, jobs: Sequence[Process]) -> list[str]:
        counts = Counter(job.status for job in jobs if plan.is_one_off(job))
        ended = ", ".join(f"{counts[status]} {word}" for status, word in _ENDED.items())
        return [
            f"{ended}; {plan.RECURRING} runs every {plan.CLEAN_EVERY} s.",
            "; ".join(plan.proofs(self._environment)) + ".",
            f"{plan.ENDLESS} runs until somebody cancels it; Ctrl-C ends the demo.",
        ]
