"""Decides the course of the demo: set up, add the jobs, show what happens, sum up, go on until it is to end."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bson import ObjectId

from taskscheduler.clock import Deadline
from taskscheduler.connection import URI_VARIABLE
from taskscheduler.events import STATUS_EVENTS
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.demo import plan
from taskscheduler_daemon.demo.dashboard import Dashboard
from taskscheduler_daemon.demo.environment import Environment, Node, embedded_server, queue_node, staged, work_directory
from taskscheduler_daemon.demo.node import WORKERS
from taskscheduler_daemon.demo.output import EventOutput, Plain
from taskscheduler_daemon.system.interrupts import InterruptibleQueue

_LOOK_EVERY = 0.2
_FILE_EVERY = 2.0  #: seconds between two files that are dropped into the watched directory
_EVENTS_WITHIN = 5.0  #: seconds that the last events may come after the jobs have been seen to have ended

_ENDED = {Status.DONE: "done", Status.FAILED: "failed", Status.TIMEOUT: "timeout", Status.CANCELED: "cancelled"}

News = tuple[str, Process]


def main(seconds: float | None = None) -> int:
    """Run the demo until Ctrl-C, or for so many seconds; the exit code. To be called in the main thread.

    Raises EmbeddedServerError if no MongoDB server can run here, SchedulerError if the queue node ends by itself.
    """
    inbox: InterruptibleQueue[News] = InterruptibleQueue()
    with inbox.signals():
        try:
            _set_up(inbox, seconds)
        except KeyboardInterrupt:
            pass  # only while the server starts: everything is taken down already
    return 0


def _set_up(inbox: InterruptibleQueue[News], seconds: float | None) -> None:
    view = _view()
    with ExitStack() as stack:
        directory = stack.enter_context(work_directory())
        view.say(*_introduction(directory))
        stage = stack.enter_context(staged(directory))
        plan.prepare(stage)
        with inbox.breakable():
            server = stack.enter_context(embedded_server(directory / "server"))
        node = stack.enter_context(queue_node(server.uri, directory))
        view.say("From another terminal: taskscheduler list (or status, show ID, cancel ID) with")
        view.say(f"  -u '{server.uri}'", "")
        scheduler = stack.enter_context(Scheduler(server.uri))
        stack.callback(view.say, "Stopping: node, server, files.")
        stack.callback(view.close)
        Show(scheduler, stage, node, view, inbox).run(Deadline(seconds))
    view.say("Nothing is left.")


def _view() -> EventOutput:
    settings = Settings()
    # a dumb terminal cannot draw over what it has drawn
    return Dashboard(settings.fancy) if settings.terminal and os.environ.get("TERM") != "dumb" else Plain()


def _introduction(directory: Path) -> list[str]:
    lines = [
        f"taskscheduler demo: a MongoDB server, a queue node with {WORKERS} workers, {len(plan.ABOUT)} kinds of jobs.",
        "The jobs do real work: copy, mail, download, compute. Some fail, hang, or lose their worker.",
        f"All of it lives in {directory} and is gone after Ctrl-C.",
    ]
    if os.environ.get(URI_VARIABLE):
        lines.append(f"{URI_VARIABLE} is set, but the demo uses a server of its own and leaves that one alone.")
    return lines


class Show:
    """Adds the jobs and follows them."""

    def __init__(
        self, scheduler: Scheduler, stage: Environment, node: Node, view: EventOutput, inbox: InterruptibleQueue[News]
    ) -> None:
        self._scheduler = scheduler
        self._stage = stage
        self._node = node
        self._view = view
        self._inbox = inbox
        self._order: list[ObjectId] = []
        self._told: dict[ObjectId, str] = {}  #: the last event of each job
        self._runs = 0
        self._last_run = ""
        self._dropped = 0
        self._next_file = Deadline(0)
        self._canceled = False

    def run(self, deadline: Deadline) -> None:
        """Show what happens until somebody asks for the end or the deadline passes."""
        self._scheduler.on("*", lambda event, process: self._inbox.put((event, process)))
        with self._scheduler.listen_in_background():
            self._order = [job.id for job in plan.add_all(self._scheduler, self._stage, lambda: self._inbox.ending)]
            late: Deadline | None = None
            summed_up = False
            while not self._inbox.ending and not deadline.passed:
                self._hear(deadline.left(_LOOK_EVERY))
                jobs = self._look()
                self._intervene(jobs)
                if not summed_up and all(job.status.is_final for job in jobs if plan.is_one_off(job)):
                    late = late or Deadline(_EVENTS_WITHIN)
                    summed_up = late.passed or self._all_told(jobs)
                    if summed_up:
                        self._view.summary(self._summary(jobs))

    def _hear(self, within: float) -> None:
        for event, process in self._inbox.take(within):
            self._told[process.id] = event
            if process.job == plan.RECURRING and process.status is Status.DONE:
                self._runs += 1
                self._last_run = f"run {self._runs}: {process.message}"
            self._view.event(event, process)

    def _look(self) -> list[Process]:
        """All jobs as they are, children behind their parents; of the recurring one only the run to come."""
        self._node.check()
        live = {"class": plan.RECURRING, "status": {"$lte": int(Status.PROCESSING)}}
        jobs = list(self._scheduler.get_jobs({"$or": [{"class": {"$ne": plan.RECURRING}}, live]}))
        jobs.sort(key=self._place)
        self._view.show(jobs, self._last_run)
        return jobs

    def _place(self, job: Process) -> tuple[bool, int, bool, ObjectId]:
        """In the order in which they were added, those that never end last."""
        first = job.parent or job.series or job.id
        place = self._order.index(first) if first in self._order else len(self._order)
        return (not plan.is_one_off(job), place, job.parent is not None, job.id)

    def _intervene(self, jobs: Sequence[Process]) -> None:
        """What people and other programs would do: cancel a job, leave files in a directory."""
        for job in jobs:
            if job.job == "PackLogs" and job.progress >= plan.CANCEL_AT and not self._canceled:
                self._canceled = True
                job.cancel()
        if self._next_file.passed:
            self._next_file = Deadline(_FILE_EVERY)
            self._dropped += 1
            (self._stage.inbox / f"file-{self._dropped}.txt").write_text("something\n" * self._dropped)

    def _all_told(self, jobs: Sequence[Process]) -> bool:
        return all(self._told.get(job.id) == STATUS_EVENTS[job.status] for job in jobs if plan.is_one_off(job))

    def _summary(self, jobs: Sequence[Process]) -> list[str]:
        counts = Counter(job.status for job in jobs if plan.is_one_off(job))
        ended = ", ".join(f"{counts[status]} {word}" for status, word in _ENDED.items())
        return [
            f"{ended}; {plan.RECURRING} runs every {plan.CLEAN_EVERY} s.",
            "; ".join(plan.proofs(self._stage)) + ".",
            f"{plan.ENDLESS} runs until somebody cancels it; Ctrl-C ends the demo.",
        ]
