"""The actions that pages offer on a flow, and their texts before and after."""

from __future__ import annotations

from typing import NamedTuple

from taskscheduler.flow_state import FlowState
from taskscheduler.operations.audit.acting import may_act
from taskscheduler_daemon.presentation.flow import hindrance


class FlowAction(NamedTuple):
    """An action that a person may take on a flow."""

    name: str  #: in the address
    label: str
    button: str
    done: str  #: shown afterwards
    warning: str  #: shown before


ACTIONS = {
    "cancel": FlowAction(
        "cancel",
        "cancel",
        "Cancel the flow",
        "The flow is cancelled.",
        "Jobs that wait never start. Running ones are killed at once, with everything they started. What is done "
        "stays.",
    ),
    "retry": FlowAction(
        "retry",
        "retry what failed",
        "Retry what failed",
        "What failed runs again.",
        "Failed jobs run once more, as another attempt. Those that were cancelled because of them wait for them again. "
        "What somebody has cancelled stays so.",
    ),
}


def offered(flow: FlowState) -> list[FlowAction]:
    """Returns the actions that are possible now, and that the role of who looks at it allows."""
    possible = [action for name, action in ACTIONS.items() if not hindrance(name, flow)]
    return [action for action in possible if may_act(f"flow.{action.name}")]


def done_text(name: str) -> str:
    """Returns what was done, by the name of the action in the address; never a text from the address itself."""
    return ACTIONS[name].done if name in ACTIONS else ""
