"""Flows: the methods of `scheduler.flows`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Backoff, Deadline
from taskscheduler.declarations.flows import Flow
from taskscheduler.errors import InvalidFlowError, InvalidOptionError, JobNotFoundError, WaitTimeoutError
from taskscheduler.facade.actions import action
from taskscheduler.facade.core import Core
from taskscheduler.facade.methods import Methods
from taskscheduler.flow_state import FlowState, RunningFlow
from taskscheduler.model.changes import reason_option
from taskscheduler.model.checks import Seconds, integer, near_miss, waiting_time
from taskscheduler.model.document import Document
from taskscheduler.model.flows.flow import DONE, FLOW_STATUSES
from taskscheduler.model.job_errors import raise_for_status
from taskscheduler.model.lifecycle import UNSUCCESSFUL
from taskscheduler.model.process_state import ProcessState
from taskscheduler.model.sound import is_text
from taskscheduler.operations.flows.cancel import cancel_flow
from taskscheduler.operations.flows.extend import Running
from taskscheduler.operations.flows.read import flow_of, flows_of
from taskscheduler.operations.flows.retry import retry_flow
from taskscheduler.operations.flows.tree import FlowNode, FlowTree, describe, flow_shape, flow_tree, nodes_of
from taskscheduler.process import Process
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.flows.flow_store import Wanted
from taskscheduler.store.transactions.steps import AnySession, Steps
from taskscheduler.validation import flow_key
from taskscheduler.waiting.shared_wait import wait_shared

Found = list[RunningFlow]  #: within the class, `list` is a method of it
Jobs = list[Process]

AT_ONCE = 1000  #: jobs that are waited for together

FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.25  #: seconds between two looks at a flow whose last jobs have ended


class Flows(Methods):
    """Jobs that come after each other, added all at once; see `Flow`, `chain` and `group`."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        core.running_flows.access = self

    @action("flow.add")
    def add(self, flow: Flow, *, session: AnySession | None = None) -> RunningFlow:
        """Stores a flow with all its jobs in one transaction: all of it or nothing.

        A job runs as soon as those that it comes after have ended well. Everything is checked before: InvalidFlowError,
        and what add_job raises for one of the jobs, with its label. Adding the same Flow once more returns the one that
        is stored, so after a DatabaseUnavailableError it is safe to repeat the call. `session`: as for add_job.
        """
        if not isinstance(flow, Flow):
            raise InvalidFlowError(
                f"flows.add() requires a Flow, not {type(flow).__name__}; chain() and group() make one"
            )
        core = self._core
        if session is not None:
            return core.in_session.carry_out(session, lambda work: self._added(work.flows.add(flow)))
        with translated():
            added = core.flows.add(flow)
            if core.announcer.wanted:
                for document in added.jobs:
                    core.announcer.announce_added(core.processes.process(document, "created"))
            return RunningFlow(self, added.flow)

    def _added(self, steps: Steps[Document]) -> Steps[RunningFlow]:
        return RunningFlow(self, (yield from steps))

    def extend(self, running: Running, job: Any, data: Any, given: Mapping[str, Any]) -> Process:
        """Adds one more job to the flow of a running one; for `self.flow.add` in jobs, which says more."""
        core = self._core
        with translated():
            additions = core.flow_extender.begin(running)
            known = additions.added_by(running.job, given.get("label"))
            if known is not None:
                return core.processes.process(core.store.jobs.get(known) or {"_id": known}, "existing")
            additions.add(job, data, **given)
            added = core.flow_extender.extend(running, additions)
            return core.announcer.announce_added(core.processes.process(added[0], "created"))

    def get(self, flow_id: ObjectId | str) -> RunningFlow:
        """Returns the flow with this id; FlowNotFoundError if there is none."""
        wanted = flow_key(flow_id)
        with translated():
            return RunningFlow(self, flow_of(self._core.store, wanted))

    def list(
        self,
        status: str | None = None,
        limit: int = 100,
        *,
        name: str | None = None,
        before: ObjectId | str | None = None,
        counted: bool = True,
    ) -> Found:
        """Returns flows, the newest first: those that are `running`, `done`, `failed` or `canceled`, or all.

        Only those whose name begins with `name`, and those added before the flow `before`. Without `counted`, running
        ones have no counts, which saves the time to count their jobs.
        """
        if status is not None and status not in FLOW_STATUSES:
            known = ", ".join(FLOW_STATUSES)
            raise InvalidOptionError(
                f"option status must be one of {known}, not {status!r:.60}{near_miss(status, FLOW_STATUSES)}"
            )
        wanted = Wanted(status or "", _beginning(name), None if before is None else flow_key(before))
        most = integer("limit", limit, least=1)
        with translated():
            return [RunningFlow(self, flow) for flow in flows_of(self._core.store, most, wanted, counted)]

    def processes(self, flow_id: ObjectId | str) -> Jobs:
        """Returns the jobs of a flow that are stored, in the order in which they can run. FlowNotFoundError."""
        wanted, core = flow_key(flow_id), self._core
        with translated():
            flow_of(core.store, wanted)
            return [core.processes.process(node.document) for node in nodes_of(core.store.flows.jobs.of(wanted))]

    def tree(self, flow_id: ObjectId | str) -> FlowTree:
        """Returns a flow and, without their data, its jobs with what each comes after. FlowNotFoundError."""
        wanted = flow_key(flow_id)
        with translated():
            return flow_tree(self._core.store, wanted)

    def outline(self, flow_id: ObjectId | str) -> FlowTree:
        """Returns the same with nothing but the statuses of its jobs, which is quick however many there are."""
        wanted = flow_key(flow_id)
        with translated():
            return flow_shape(self._core.store, wanted)

    def describe(self, nodes: Iterable[FlowNode]) -> None:
        """Reads the jobs of an outline that are to be shown, without their data; a deleted one stays as it is."""
        with translated():
            describe(self._core.store, nodes)

    @action("flow.cancel", target="flow_id")
    def cancel(self, flow_id: ObjectId | str, reason: str | None = None) -> bool:
        """Cancels all jobs of a flow that have not ended; False if the flow has ended.

        The `reason`, a text of at most 500 characters, is stored in each. FlowNotFoundError.
        """
        wanted, why = flow_key(flow_id), reason_option(reason)
        with translated():
            cancelled = cancel_flow(self._core.store, self._core.canceller, wanted, why)
            if cancelled and self._core.announcer.wants_flows:
                self._core.announcer.announce_flow(self.get(wanted))
        return cancelled

    @action("flow.retry", target="flow_id")
    def retry(self, flow_id: ObjectId | str, reason: str | None = None) -> int:
        """Puts jobs of a flow back in the queue that failed or timed out; returns how many jobs run again.

        Those that were cancelled because of them wait for them again. What somebody has cancelled stays so. The flow
        runs again, if it had ended. FlowNotFoundError.
        """
        wanted, why = flow_key(flow_id), reason_option(reason)
        core = self._core
        with translated():
            queued = retry_flow(core.store, core.clock, wanted, why)
            if core.announcer.wanted:
                for document in core.store.jobs.all_of(queued).values():
                    core.announcer.announce_requeued(core.processes.process(document))
            return len(queued)

    def wait(self, flow_id: ObjectId | str, timeout: Seconds | None = None, throw: bool = False) -> RunningFlow:
        """Blocks until none of the jobs of a flow is live any more, and returns it.

        With `throw`, a flow that is not done raises the JobError of the job that failed first. WaitTimeoutError after
        `timeout` seconds; FlowNotFoundError.
        """
        wanted, limit = flow_key(flow_id), waiting_time(timeout)
        core, deadline, backoff = self._core, Deadline(limit, self._core.clock), Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        with translated():
            while not (flow := self.get(wanted)).has_ended:
                left = None if limit is None else deadline.left(limit)
                if deadline.passed:
                    raise late(flow, limit)
                last = [core.processes.process(job) for job in core.store.flows.jobs.last_live(wanted, AT_ONCE)]
                if last:
                    self._wait_for(last, left, late(flow, limit))
                else:  # whoever has written the last end is about to end the flow
                    deadline.pause(backoff.next())
        core.announcer.announce_flow(flow)
        if throw:
            raise_for_flow(flow.status, self.processes(wanted))
        return flow

    def _wait_for(self, last: Jobs, left: float | None, if_late: WaitTimeoutError) -> None:
        try:
            wait_shared(self._core.completions, last, left, throw=False)
        except WaitTimeoutError:
            raise if_late from None
        except JobNotFoundError:
            pass  # somebody has deleted it


def _beginning(name: str | None) -> str:
    if name is not None and not (is_text(name) and name.isprintable()):
        raise InvalidOptionError(
            f"option name must be a printable text with which names of flows begin, not {name!r:.60}"
        )
    return name or ""


def late(flow: FlowState, timeout: float | None) -> WaitTimeoutError:
    """Returns the error for a flow that has not ended within so many seconds."""
    return WaitTimeoutError(f"flow {flow.name!r} has not ended within {timeout or 0:g} seconds")


def raise_for_flow(status: str, processes: Sequence[ProcessState]) -> None:
    """Raises the JobError of the job that failed first, unless the flow is done."""
    bad = [process for process in processes if process.status in UNSUCCESSFUL]
    if status != DONE and bad:
        raise_for_status(min(bad, key=lambda process: (process.ended is None, process.ended or process.created)))
